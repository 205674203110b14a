import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import f1_score

from harness.statistics import statistic_difference
from harness.statistics.set_statistic import Statistic


def accuracy(reference: np.ndarray, value: np.ndarray) -> Statistic:
    return lambda weights: (weights @ reference / weights.sum(axis=1), weights @ value / weights.sum(axis=1))


def macro_f1(targets: np.ndarray, reference: np.ndarray, value: np.ndarray, classes: int) -> Statistic:
    true = np.eye(classes)[targets]

    def side(predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        said = np.eye(classes)[predictions]
        return (2 * (weights @ (true * said)) / (weights @ true + weights @ said)).mean(axis=1)

    return lambda weights: (side(reference, weights), side(value, weights))


@pytest.mark.parametrize(("lost", "n"), [(0, 20), (0, 100), (4, 100)])
def test_a_share_has_the_clopper_pearson_bound(lost: int, n: int) -> None:
    value = np.ones(n)
    value[:lost] = 0
    interval = statistic_difference(accuracy(np.ones(n), value), np.ones(n, dtype=int), resamples=40_000)
    assert interval.upper == pytest.approx(beta.ppf(0.95, lost + 1, n - lost), rel=0.03)
    assert interval.estimate == pytest.approx(lost / n)


def test_units_alike_may_be_counted_as_one_kind() -> None:
    reference, value = np.array([1.0] * 97 + [1.0] * 3), np.array([1.0] * 97 + [0.0] * 3)
    each = statistic_difference(accuracy(reference, value), np.ones(100, dtype=int), resamples=20_000)
    kinds = statistic_difference(accuracy(np.ones(2), np.array([1.0, 0.0])), np.array([97, 3]), resamples=20_000)
    assert kinds.estimate == pytest.approx(each.estimate)
    assert kinds.upper == pytest.approx(each.upper, rel=0.03)


def test_macro_f1_estimate_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 4, 120)
    reference, value = (np.where(generator.random(120) < p, (targets + 1) % 4, targets) for p in (0.05, 0.15))
    statistic = macro_f1(targets, reference, value, 4)
    interval = statistic_difference(statistic, np.ones(120, dtype=int))
    expected = f1_score(targets, reference, average="macro") - f1_score(targets, value, average="macro")
    assert interval.estimate == pytest.approx(expected)
    assert interval.lower < expected < interval.upper
    assert interval == statistic_difference(statistic, np.ones(120, dtype=int))


def test_no_discordance_does_not_prove_a_fine_limit() -> None:
    targets = np.arange(20) % 2
    statistic = macro_f1(targets, targets, targets, 2)
    resampled = np.random.default_rng(0).multinomial(20, np.full(20, 1 / 20), 200).astype(float)
    assert np.quantile(np.subtract(*statistic(resampled)), 0.95) == 0  # what the percentile bootstrap believes
    assert statistic_difference(statistic, np.ones(20, dtype=int)).upper > 0.1


def test_a_loss_and_a_win_may_swing_apart() -> None:
    statistic, units = accuracy(np.ones(50), np.ones(50)), np.ones(50, dtype=int)
    even, apart = (statistic_difference(statistic, units, swing=swing) for swing in (1.0, (3.0, 2.0)))
    assert apart.upper == pytest.approx(3 * even.upper)
    assert apart.lower == pytest.approx(2 * even.lower)


def test_one_unit_says_nothing() -> None:
    interval = statistic_difference(accuracy(np.ones(1), np.ones(1)), np.ones(1, dtype=int))
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)


def test_refuses_statistics_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="finite number"):
        statistic_difference(lambda weights: (weights.sum(axis=1), np.nan * weights.sum(axis=1)), np.ones(5, dtype=int))
    with pytest.raises(ValueError, match="finite number"):
        statistic_difference(lambda weights: (weights, weights), np.ones(5, dtype=int))
    with pytest.raises(ValueError, match="positive counts"):
        statistic_difference(accuracy(np.ones(2), np.ones(2)), np.array([3, 0]))


def test_a_high_confidence_takes_more_draws_than_are_asked_for() -> None:
    """Of 4,000 draws the outermost stands for 1 in 4,000 at most: 0.340 instead of 0.369."""
    interval = statistic_difference(accuracy(np.ones(1), np.ones(1)), np.array([20]), confidence=0.9999)
    assert interval.upper == pytest.approx(1 - 0.0001 ** (1 / 20), rel=0.04)


def test_without_an_unseen_unit_the_bound_is_the_quantile_of_the_drops() -> None:
    reference, value = np.ones(2), np.array([1.0, 0.0])
    interval = statistic_difference(accuracy(reference, value), np.array([60, 40]), swing=None, resamples=40_000)
    assert interval.upper == pytest.approx(beta.ppf(0.95, 40, 60), rel=0.01)
    assert interval.lower == pytest.approx(beta.ppf(0.05, 40, 60), rel=0.01)


@pytest.mark.parametrize("resamples", [500, 4000])
def test_bounds_are_nested_in_those_of_a_higher_confidence(resamples: int) -> None:
    """Holm's procedure asks at rising confidences, and what is refuted at one has to be at every lower one."""
    for seed in range(12):
        random = np.random.default_rng(seed)
        reference, value = (random.random(60) < 0.8, random.random(60) < 0.75)
        intervals = [
            statistic_difference(
                accuracy(reference.astype(float), value.astype(float)), np.ones(60, dtype=int), confidence,
                resamples=resamples,
            )
            for confidence in (0.9, 0.95, 0.975, 0.98, 0.985, 0.99, 0.995, 0.9975, 0.999, 0.9995)
        ]  # fmt: skip
        for inner, outer in pairwise(intervals):
            assert outer.lower <= inner.lower <= inner.upper <= outer.upper
