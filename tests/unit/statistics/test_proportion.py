import math

import numpy as np
import pytest
from scipy.stats import binom, multinomial
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import proportion_difference, proportion_ratio


def test_the_design_example_is_proven() -> None:
    interval = proportion_difference(won=0, lost=3, n=397)
    assert interval.estimate == pytest.approx(3 / 397)
    # With nothing won, the drop is the lost share, whose Clopper-Pearson bound is nearly the exact one.
    _, clopper_pearson = proportion_confint(3, 397, alpha=0.10, method="beta")
    assert interval.upper == pytest.approx(clopper_pearson, rel=0.01)
    assert interval.upper < 0.02


@pytest.mark.parametrize("n", [1, 20, 100, 5000])
def test_no_discordance_has_the_rule_of_three(n: int) -> None:
    interval = proportion_difference(0, 0, n)
    assert binom.pmf(0, n, interval.upper) == pytest.approx(0.05, rel=0.0021)
    assert interval.lower == -interval.upper


def test_swapping_the_models_turns_the_interval() -> None:
    one, other = proportion_difference(4, 9, 80), proportion_difference(9, 4, 80)
    assert (one.lower, one.upper) == (-other.upper, -other.lower)


def test_a_drop_that_mcnemars_exact_test_proves_is_proven() -> None:
    for won, lost in ((0, 6), (1, 9), (4, 15)):
        one_sided = mcnemar([[50, lost], [won, 20]], exact=True).pvalue / 2
        assert one_sided < 0.05
        assert proportion_difference(won, lost, 70 + won + lost).lower > 0


def test_large_samples_approach_the_normal_interval() -> None:
    won, lost, n = 480, 530, 10_000
    interval = proportion_difference(won, lost, n)
    error = math.sqrt((won + lost) / n - ((lost - won) / n) ** 2) / math.sqrt(n)
    assert interval.upper == pytest.approx((lost - won) / n + 1.6449 * error, abs=2e-5)


def test_false_pass_rate_at_small_discordance() -> None:
    # n = 400, 1 % discordance, all of it lost: the percentile bootstrap passes 9 % of these at a limit of 0.01.
    n, limit = 400, 0.01
    passing = [lost for lost in range(20) if proportion_difference(0, lost, n).upper < limit]
    assert binom.pmf(passing, n, limit).sum() == pytest.approx(binom.cdf(0, n, limit))
    assert binom.pmf(passing, n, limit).sum() <= 0.05


@pytest.mark.parametrize(("n", "discordance", "limit", "power"), [(100, 0.01, 0.05, 0.917), (400, 0.01, 0.02, 0.948)])
def test_power_where_tangos_score_has_it(n: int, discordance: float, limit: float, power: float) -> None:
    passed = sum(
        multinomial.pmf([won, lost, n - won - lost], n, [discordance / 2, discordance / 2, 1 - discordance])
        for won in range(12)
        for lost in range(12)
        if proportion_difference(won, lost, n).upper < limit
    )
    assert passed == pytest.approx(power, abs=0.005)


def test_recovery_is_a_ratio_whichever_way_it_is_read() -> None:
    one, other = proportion_ratio(4, 9, 70, 100), proportion_ratio(9, 4, 70, 100)
    assert one.estimate == pytest.approx(74 / 79)
    assert one.lower == pytest.approx(1 / other.upper)
    assert one.upper == pytest.approx(1 / other.lower)


def test_recovery_does_not_depend_on_pairs_that_no_model_has_right() -> None:
    assert proportion_ratio(2, 5, 60, 67) == proportion_ratio(2, 5, 60, 500)


def test_recovery_misses_the_truth_in_no_more_samples_than_claimed() -> None:
    n = 14
    cells = [(w, l, b) for w in range(n + 1) for l in range(n + 1 - w) for b in range(n + 1 - w - l)]  # noqa: E741
    lower = np.array([proportion_ratio(won, lost, both, n).lower for won, lost, both in cells])
    counts = [(*cell, n - sum(cell)) for cell in cells]
    for rates in ((0.02, 0.12, 0.8), (0.0, 0.1, 0.6), (0.1, 0.3, 0.3), (0.05, 0.05, 0.9)):
        truth = (rates[2] + rates[0]) / (rates[2] + rates[1])
        chances = multinomial.pmf(counts, n, [*rates, max(0.0, 1 - sum(rates))])
        assert chances[lower > truth + 1e-12].sum() <= 0.05


def test_no_pair_right_says_nothing() -> None:
    interval = proportion_ratio(0, 0, 0, 10)
    assert math.isnan(interval.estimate)
    assert (interval.lower, interval.upper) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("won", "lost", "n", "confidence", "message"),
    [
        (0, 0, 0, 0.95, "n must be positive"),
        (-1, 0, 10, 0.95, "won must not be negative"),
        (6, 6, 10, 0.95, "more than n = 10"),
        (0, 0, 10, 0.5, "confidence must lie"),
        (0, 0, 10, 1.0, "confidence must lie"),
        (0, 0, 10, math.nan, "confidence must lie"),
    ],
)
def test_refuses_what_no_sample_gives(won: int, lost: int, n: int, confidence: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        proportion_difference(won, lost, n, confidence)
