from collections.abc import Sequence

import numpy as np
import pytest

from harness.measurement import Timings, doubts
from harness.statistics import Looks, median_ratio
from harness.statistics.spending import critical_values, pocock_spending


def test_critical_values_are_those_of_lan_and_demets() -> None:
    # Pocock-type spending, five even looks, one-sided 0.025: published boundary.
    values = critical_values((0.2, 0.4, 0.6, 0.8, 1.0), 0.025)
    assert values == pytest.approx((2.438, 2.427, 2.410, 2.397, 2.386), abs=6e-4)


def test_one_look_spends_everything() -> None:
    assert critical_values((1.0,), 0.05) == pytest.approx((1.644854,), abs=1e-5)
    assert pocock_spending(1.0, 0.05) == pytest.approx(0.05)


def test_a_brownian_motion_crosses_with_the_error_rate() -> None:
    shares = np.arange(1, 7) / 6
    values = np.array(critical_values(tuple(shares.tolist()), 0.05))
    paths = np.random.default_rng(0).normal(0, np.sqrt(1 / 6), (100_000, 6)).cumsum(axis=1)
    assert (paths / np.sqrt(shares) > values).any(axis=1).mean() == pytest.approx(0.05, abs=0.0025)


def blocks(ratio: float, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    speed = np.exp(generator.normal(0, 0.05, (count, 1)))
    reference, value = (
        speed * np.exp(generator.normal(0, 0.03, (count, 1))) * generator.lognormal(0, 0.03, (count, 5)) * 1e6
        for _ in range(2)
    )
    return reference, ratio * value


def sampled(
    looks: Looks, limits: tuple[float, ...], ratio: float, generator: np.random.Generator
) -> tuple[Timings, bool]:
    """What the sampler stops with, by its own rule, and whether every limit was decided then."""
    reference, value = blocks(ratio, looks.schedule[-1], generator)
    for planned, level in zip(looks.schedule, looks.confidences, strict=True):
        timings = Timings(blocks_reference=reference[:planned], blocks=value[:planned], level=level)
        if not doubts.undecided(timings, limits, looks.confidence):
            return timings, True
    return timings, False


def put(levels: Sequence[float], reference: np.ndarray, value: np.ndarray, limit: float) -> int:
    """The side of a limit on which the first look puts the ratio whose interval excludes it; 0 where none does."""
    for number, level in enumerate(levels, 1):
        seen = len(reference) * number // len(levels)
        held = median_ratio(reference[:seen], value[:seen], level)
        if not held.lower <= limit <= held.upper:
            return 1 if held.lower > limit else -1
    return 0


def test_a_ratio_at_the_limit_is_seldom_put_on_a_side() -> None:
    looks, generator = Looks(most=4, first_blocks=8), np.random.default_rng(1)
    runs = [blocks(0.8, looks.schedule[-1], generator) for _ in range(400)]
    due = [put(looks.confidences, *run, 0.8) for run in runs]
    # 0.05 and three standard errors of 400 runs.
    assert max(due.count(1), due.count(-1)) < 0.085 * len(runs)
    # What looking four times costs where no look is widened.
    flat = [put((0.95,) * 4, *run, 0.8) for run in runs[:150]]
    assert len(flat) - flat.count(0) > 1.5 * (150 - due[:150].count(0))


def test_a_ratio_far_from_its_limits_is_decided_at_once() -> None:
    looks, generator = Looks(first_blocks=10), np.random.default_rng(2)
    ends = [sampled(looks, (0.8, 1.5), 0.5, generator) for _ in range(20)]
    assert {(timings.n, decided) for timings, decided in ends} == {(10, True)}


def test_every_limit_must_be_excluded() -> None:
    looks = Looks()
    assert sampled(looks, (0.4,), 0.8, np.random.default_rng(3))[0].n == 10
    assert sampled(looks, (0.4, 0.8), 0.8, np.random.default_rng(3))[0].n > 10
    assert sampled(Looks(most=1), (0.8,), 0.8, np.random.default_rng(3))[1] is False
    assert sampled(looks, (), 0.8, np.random.default_rng(3))[0].n == 10


def test_a_looks_interval_is_wider_than_one_of_a_single_look() -> None:
    reference, value = blocks(0.8, 10, np.random.default_rng(4))
    looks, single = Looks(), median_ratio(reference, value)
    look = Timings(blocks_reference=reference, blocks=value, level=looks.confidences[0]).ratio(0.95)
    assert look.lower < single.lower
    assert single.upper < look.upper
    assert Looks(most=1).confidences == pytest.approx((0.95,))
    assert all(0.95 < each < 1 for each in looks.confidences)


@pytest.mark.parametrize("changed", [{"most": 0}, {"first_blocks": 1}, {"confidence": 0.4}])
def test_refuses_looks_that_mean_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Looks(**changed)  # type: ignore[arg-type]
