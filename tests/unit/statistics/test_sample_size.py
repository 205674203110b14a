import numpy as np
import pytest
from scipy.stats import binom

from harness.statistics import needed_n, proportion_difference, smallest_limit


@pytest.mark.parametrize("n", [20, 100, 397, 5000])
def test_smallest_limit_is_the_bound_without_discordance(n: int) -> None:
    assert smallest_limit(n) == proportion_difference(0, 0, n).upper


@pytest.mark.parametrize("limit", [0.2, 0.05, 0.02, 0.001])
def test_needed_n_is_the_first_that_resolves_the_limit(limit: float) -> None:
    n = needed_n(limit)
    assert smallest_limit(n) <= limit < smallest_limit(n - 1)


def test_needed_n_near_the_textbook_figure() -> None:
    assert needed_n(0.02) == 149  # ln(0.05) / ln(0.98) = 148.3


@pytest.mark.parametrize(("limit", "discordance"), [(0.05, 0.04), (0.1, 0.1)])
def test_about_four_in_five_samples_of_that_size_are_proven(limit: float, discordance: float) -> None:
    n = needed_n(limit, discordance=discordance)
    power = 0.0
    for discordant in range(int(binom.ppf(1e-4, n, discordance)), int(binom.ppf(1 - 1e-4, n, discordance)) + 1):
        won = np.arange(discordant + 1)
        proven = [proportion_difference(int(one), int(discordant - one), n).upper < limit for one in won]
        power += binom.pmf(discordant, n, discordance) * binom.pmf(won, discordant, 0.5)[proven].sum()
    assert 0.74 < power < 0.88


def test_a_true_drop_takes_a_larger_sample() -> None:
    assert needed_n(0.02, discordance=0.03, drop=0.01) > 3 * needed_n(0.02, discordance=0.03)


def test_refuses_what_no_sample_proves() -> None:
    with pytest.raises(ValueError, match="no sample proves"):
        needed_n(0.02, discordance=0.05, drop=0.02)
    with pytest.raises(ValueError, match="limit must lie"):
        needed_n(0.0)
    with pytest.raises(ValueError, match="not possible"):
        needed_n(0.02, discordance=0.01, drop=0.015)
