import numpy as np
import pytest
from scipy.stats import binom, multinomial

from harness.statistics.contrast import Contrast, Drop, RelativeDrop
from harness.statistics.exact import exact_upper, most_lost, p_value, tail_probability


@pytest.mark.parametrize("contrast", [Drop(), RelativeDrop()])
@pytest.mark.parametrize("null", [-0.2, 0.05, 0.3])
def test_tail_is_the_sum_over_the_sample_space(contrast: Contrast, null: float) -> None:
    n, bound = 12, -0.9
    discordance = np.array([contrast.least_discordance(null), 0.5, 0.9])
    expected = np.zeros(3)
    for index, one in enumerate(discordance):
        won_rate, lost_rate = (float(rate) for rate in contrast.rates(np.asarray(one), null))
        chances = np.clip([won_rate, lost_rate, 1 - won_rate - lost_rate], 0, 1)
        for won in range(n + 1):
            for lost in range(n + 1 - won):
                if contrast.score(won, lost, n, null) <= bound + 1e-9:
                    expected[index] += multinomial.pmf([won, lost, n - won - lost], n, chances / chances.sum())
    assert tail_probability(contrast, n, null, bound, discordance) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("contrast", [Drop(), RelativeDrop()])
def test_frontier_is_the_largest_count_below_the_bound(contrast: Contrast) -> None:
    n = 30
    wins = np.arange(n + 1, dtype=float)
    for null, bound in ((0.1, -1.6), (-0.2, -2.0), (0.4, 0.5)):
        brute = [
            max((lost for lost in range(n + 1 - won) if contrast.score(won, lost, n, null) <= bound + 1e-9), default=-1)
            for won in range(n + 1)
        ]
        assert most_lost(contrast, wins, n, null, bound).tolist() == brute


def test_all_pairs_won_leaves_a_binomial_bound() -> None:
    # With every pair won, only P(won) = (1 - drop) / 2 at full discordance explains the sample best.
    upper = exact_upper(Drop(), 20, 0, 20, 0.95)
    assert binom.pmf(20, 20, (1 - upper) / 2) == pytest.approx(0.05 * 0.998, rel=5e-3)


def test_p_value_reaches_the_error_rate_at_the_bound() -> None:
    for won, lost, n in ((2, 5, 20), (1, 2, 400), (20, 25, 300)):
        upper = exact_upper(Drop(), won, lost, n, 0.95)
        assert p_value(Drop(), won, lost, n, upper + 1e-3, 0.05) <= 0.05


@pytest.mark.parametrize("n", [8, 20])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_misses_the_truth_in_no_more_samples_than_claimed(n: int, confidence: float) -> None:
    points = [(won, lost) for won in range(n + 1) for lost in range(n + 1 - won)]
    upper = np.array([exact_upper(Drop(), won, lost, n, confidence) for won, lost in points])
    cells = [(won, lost, n - won - lost) for won, lost in points]
    for drop in (-0.2, 0.0, 0.05, 0.15, 0.3, 0.6):
        for discordance in np.linspace(abs(drop), 1, 7):
            chances = np.array([(discordance - drop) / 2, (discordance + drop) / 2, 1 - discordance])
            missed = multinomial.pmf(cells, n, np.clip(chances, 0, 1))[upper < drop].sum()
            assert missed <= 1 - confidence
