import numpy as np
import pytest

from harness.statistics import SequentialRatio, median_ratio
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


def verdict(rule: SequentialRatio, ratio: float, generator: np.random.Generator) -> tuple[str, int, float, float]:
    reference, value = blocks(ratio, rule.schedule[-1], generator)
    for planned in rule.schedule:
        look = rule.look(reference[:planned], value[:planned])
        if look.state != "continue":
            break
    return look.state, look.blocks, look.interval.lower, look.interval.upper


def test_a_ratio_at_the_limit_is_seldom_put_on_a_side() -> None:
    rule, generator = SequentialRatio((0.8,), looks=4, first_blocks=8), np.random.default_rng(1)
    ends = [verdict(rule, 0.8, generator) for _ in range(400)]
    below = np.mean([state == "decided" and upper < 0.8 for state, _, _, upper in ends])
    above = np.mean([state == "decided" and lower > 0.8 for state, _, lower, _ in ends])
    assert below < 0.085  # 0.05 and three standard errors of 400 runs
    assert above < 0.085
    assert {state for state, *_ in ends} == {"decided", "cap"}


def test_a_ratio_far_from_its_limit_is_decided_at_once() -> None:
    rule, generator = SequentialRatio((0.8, 1.5), first_blocks=10), np.random.default_rng(2)
    assert {verdict(rule, 0.5, generator)[:2] for _ in range(20)} == {("decided", 10)}


def test_every_limit_must_be_excluded() -> None:
    reference, value = blocks(0.8, 10, np.random.default_rng(3))
    assert SequentialRatio((0.4,)).look(reference, value).state == "decided"
    assert SequentialRatio((0.4, 0.8)).look(reference, value).state == "continue"
    assert SequentialRatio((0.8,), looks=1).look(reference, value).state == "cap"
    assert SequentialRatio(()).look(reference, value).state == "decided"


def test_a_looks_interval_is_wider_than_one_of_a_single_look() -> None:
    reference, value = blocks(0.8, 10, np.random.default_rng(4))
    look, single = SequentialRatio((0.9,)).look(reference, value).interval, median_ratio(reference, value)
    assert look.lower < single.lower
    assert single.upper < look.upper
    assert look.confidence == SequentialRatio((0.9,)).confidences[0]


def test_refuses_a_look_that_was_not_planned() -> None:
    reference, value = blocks(0.8, 11, np.random.default_rng(5))
    with pytest.raises(ValueError, match="not planned"):
        SequentialRatio((0.9,)).look(reference, value)


@pytest.mark.parametrize("changed", [{"looks": 0}, {"first_blocks": 1}, {"confidence": 0.4}, {"limits": (-1.0,)}])
def test_refuses_a_rule_that_means_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        SequentialRatio(**{"limits": (0.9,), **changed})  # type: ignore[arg-type]
