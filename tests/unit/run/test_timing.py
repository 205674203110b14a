from __future__ import annotations

import gc
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from harness.errors import Unmeasurable
from harness.measurement import Timings
from harness.run import timing
from harness.spec.schema import Measure


class Clock:
    """A clock that only moves when work is done: what the sampler computes is then known exactly."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []

    def __call__(self) -> int:
        return self.now

    def work(self, name: str, durations: Callable[[], int]) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now += durations()

        return call


def sampled(
    clock: Clock, reference: Callable[[], int], compressed: Callable[[], int], limits: tuple[float, ...]
) -> Timings:
    return timing.sample(
        clock.work("A", reference), clock.work("B", compressed), limits, Measure(latency_s=60),
        batch=4, rate=False, progress=lambda text: None, clock=clock,
    )  # fmt: skip


def noisy(mean: int, seed: int) -> Callable[[], int]:
    draw = np.random.default_rng(seed)
    return lambda: int(mean * draw.lognormal(0, 0.05))


def test_ratio_of_known_work_is_found_and_decided_at_the_first_look() -> None:
    clock = Clock()
    found = sampled(clock, noisy(4_000_000, 1), noisy(2_000_000, 2), (0.8,))
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=0.02)
    assert found.blocks.shape[0] == timing.FIRST_BLOCKS
    assert found.value == pytest.approx(2.0, rel=0.03)
    assert found.n == timing.FIRST_BLOCKS


def test_sampling_goes_on_while_the_interval_straddles_the_limit() -> None:
    clock = Clock()
    found = sampled(clock, noisy(4_000_000, 1), noisy(3_200_000, 2), (0.8,))
    assert found.blocks.shape[0] >= 2 * timing.FIRST_BLOCKS


def test_blocks_alternate_abba() -> None:
    clock = Clock()
    sampled(clock, lambda: 20_000_000, lambda: 20_000_000, ())
    assert clock.calls[-2 * timing.FIRST_BLOCKS :] == ["A", "B", "B", "A"] * (timing.FIRST_BLOCKS // 2)


def test_drift_that_both_sides_share_leaves_the_ratio_alone() -> None:
    clock = Clock()
    slow = itertools.count()

    def drifting(mean: int) -> Callable[[], int]:
        return lambda: int(mean * (1 + next(slow) / 2000))

    found = sampled(clock, drifting(4_000_000), drifting(2_000_000), ())
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=0.02)


def test_a_clock_that_stands_still_is_unmeasurable() -> None:
    with pytest.raises(Unmeasurable, match="stood still or went backwards"):
        sampled(Clock(), lambda: 0, lambda: 1000, ())


def test_the_garbage_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    sampled(Clock(), lambda: 5_000_000, lambda: 5_000_000, ())
    assert gc.isenabled()


def test_a_rate_is_the_inverse_of_a_time() -> None:
    found = sampled(Clock(), lambda: 4_000_000, lambda: 2_000_000, ())
    rate = found.model_copy(update={"rate": True})
    assert rate.value == pytest.approx(4 / 0.002)
    assert rate.ratio(0.95).estimate == pytest.approx(2.0)
    assert found.ratio(0.95).estimate == pytest.approx(0.5)
