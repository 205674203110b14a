import math
import time

import numpy as np
import pytest

from harness.statistics import median_ratio
from harness.statistics.latency import weighted_medians

BLOCKS = np.random.default_rng(0).lognormal(0, 0.05, (20, 7)) * 1e6


@pytest.mark.parametrize("calls", [5, 6])
def test_weighted_medians_are_those_of_the_repeated_calls(calls: int) -> None:
    generator = np.random.default_rng(calls)
    blocks = generator.lognormal(0, 1, (8, calls)).round(1)
    draws = generator.multinomial(8, np.full(8, 1 / 8), 50)
    expected = [np.median(np.repeat(blocks, row, axis=0)) for row in draws]
    assert weighted_medians(blocks, draws) == pytest.approx(expected)


def test_a_slowdown_shared_by_a_block_cancels() -> None:
    drift = np.linspace(1, 3, 20)[:, None]
    interval = median_ratio(BLOCKS * drift, 0.8 * BLOCKS * drift)
    assert interval.estimate == pytest.approx(0.8)
    assert interval.upper - interval.lower < 1e-4


def test_ratio_inverts_when_the_models_swap() -> None:
    value = 0.7 * np.random.default_rng(1).lognormal(0, 0.05, (20, 9)) * 1e6
    one, other = median_ratio(BLOCKS, value), median_ratio(value, BLOCKS)
    assert (one.estimate, one.lower) == pytest.approx((1 / other.estimate, 1 / other.upper))


def test_the_same_seed_gives_the_same_bounds() -> None:
    value = BLOCKS[::-1] * 0.9
    assert median_ratio(BLOCKS, value, seed=3) == median_ratio(BLOCKS, value, seed=3)


def test_covers_at_its_confidence() -> None:
    generator = np.random.default_rng(2)
    wrong = np.zeros(2)
    for _ in range(400):
        speed = np.exp(generator.normal(0, 0.05, (12, 1)))
        reference = 1e6 * speed * generator.lognormal(0, 0.04, (12, 6))
        value = 0.8e6 * speed * np.exp(generator.normal(0, 0.02, (12, 1))) * generator.lognormal(0, 0.04, (12, 6))
        interval = median_ratio(reference, value, resamples=300)
        wrong += interval.lower > 0.8, interval.upper < 0.8
    assert (wrong / 400 < 0.085).all()


def test_no_ratio_is_known_more_finely_than_the_clock() -> None:
    interval = median_ratio(np.full((10, 5), 40.0), np.full((10, 5), 30.0))
    assert interval.upper - interval.lower > 0.03


def test_one_block_says_nothing() -> None:
    interval = median_ratio(BLOCKS[:1], BLOCKS[:1])
    assert (interval.lower, interval.upper) == (0.0, math.inf)


def test_a_full_run_is_judged_quickly() -> None:
    blocks = np.random.default_rng(3).lognormal(0, 0.05, (60, 20)) * 1e6
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        median_ratio(blocks, blocks[::-1])
        best = min(best, time.process_time() - start)
    assert best < 0.06


def test_refuses_durations_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        median_ratio(BLOCKS, BLOCKS[:5])
    with pytest.raises(ValueError, match="clock"):
        median_ratio(BLOCKS, np.where(BLOCKS[0, 0] == BLOCKS, 0, BLOCKS))
    with pytest.raises(ValueError, match="not finite"):
        median_ratio(BLOCKS, np.where(BLOCKS[0, 0] == BLOCKS, math.nan, BLOCKS))
    with pytest.raises(ValueError, match="2 dimension"):
        median_ratio(BLOCKS[0], BLOCKS[0])
