"""What must hold of proportions, whatever the counts, of several claims, and of sample sizes."""

import itertools
from unittest.mock import patch

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import holm_confidence, needed_n, proportion_difference, proportion_ratio, smallest_limit

quick = settings(max_examples=40, deadline=None, derandomize=True)
CONFIDENCE = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@st.composite
def pairs(draw: st.DrawFn, largest: int = 300) -> tuple[int, int, int]:
    n = draw(st.integers(1, largest))
    lost = draw(st.integers(0, min(n, 30)))
    return draw(st.integers(0, min(n - lost, 30))), lost, n


@quick
@given(pairs(), CONFIDENCE)
def test_bounds_enclose_the_estimate_and_stay_possible(counts: tuple[int, int, int], confidence: float) -> None:
    interval = proportion_difference(*counts, confidence)
    assert -1 <= interval.lower <= interval.estimate <= interval.upper <= 1


@quick
@given(pairs(), CONFIDENCE)
def test_swapping_the_models_turns_the_sign(counts: tuple[int, int, int], confidence: float) -> None:
    won, lost, n = counts
    one, other = proportion_difference(won, lost, n, confidence), proportion_difference(lost, won, n, confidence)
    assert (one.estimate, one.lower, one.upper) == (-other.estimate, -other.upper, -other.lower)


@quick
@given(pairs())
def test_one_more_lost_never_lowers_a_bound(counts: tuple[int, int, int]) -> None:
    won, lost, n = counts
    assume(won + lost < n)
    fewer, more = proportion_difference(won, lost, n), proportion_difference(won, lost + 1, n)
    slack = 1e-3 * (fewer.upper - fewer.lower)  # the bounds are rounded outward
    assert fewer.upper <= more.upper + slack
    assert fewer.lower <= more.lower + slack


@quick
@given(pairs())
def test_one_more_won_never_raises_the_upper_bound(counts: tuple[int, int, int]) -> None:
    won, lost, n = counts
    assume(won + lost < n)
    fewer, more = proportion_difference(won, lost, n), proportion_difference(won + 1, lost, n)
    assert more.upper <= fewer.upper + 1e-3 * (fewer.upper - fewer.lower)


@quick
@given(pairs())
def test_more_confidence_never_narrows(counts: tuple[int, int, int]) -> None:
    uppers = [proportion_difference(*counts, confidence).upper for confidence in (0.8, 0.9, 0.95, 0.99)]
    assert all(low <= high + 1e-4 for low, high in itertools.pairwise(uppers))


@quick
@given(st.integers(2, 9), st.sampled_from([0.8, 0.9, 0.95]), st.floats(0, 1), st.floats(0, 1))
def test_the_truth_is_missed_in_no_more_samples_than_claimed(
    n: int, confidence: float, discordance: float, lean: float
) -> None:
    lost_rate = discordance * lean
    truth, chances = 2 * lost_rate - discordance, [discordance - lost_rate, lost_rate, 1 - discordance]
    points = [(won, lost) for won in range(n + 1) for lost in range(n + 1 - won)]
    chance = multinomial.pmf([(won, lost, n - won - lost) for won, lost in points], n, chances)
    intervals = [proportion_difference(won, lost, n, confidence) for won, lost in points]
    above = sum(one for one, held in zip(chance, intervals, strict=True) if held.upper < truth - 1e-12)
    below = sum(one for one, held in zip(chance, intervals, strict=True) if held.lower > truth + 1e-12)
    assert above <= 1 - confidence + 1e-9
    assert below <= 1 - confidence + 1e-9


@quick
@given(st.integers(1, 2000), CONFIDENCE)
def test_no_discordant_pair_has_the_bound_of_clopper_and_pearson(n: int, confidence: float) -> None:
    upper = proportion_difference(0, 0, n, confidence).upper
    scipys = binomtest(0, n, alternative="less").proportion_ci(confidence).high
    _, statsmodels = proportion_confint(0, n, 2 * (1 - confidence), method="beta")
    # A little of the error rate is spent on the nuisance parameter: the bound errs outward.
    assert scipys <= upper <= scipys * 1.01
    assert statsmodels <= upper <= statsmodels * 1.01


@quick
@given(pairs(150), st.integers(1, 150))
def test_more_samples_with_the_same_changes_prove_more(counts: tuple[int, int, int], more: int) -> None:
    won, lost, n = counts
    assume(lost >= won)
    small, large = proportion_difference(won, lost, n), proportion_difference(won, lost, n + more)
    assert large.upper <= small.upper + 1e-3 * (small.upper - small.lower)


@quick
@given(st.lists(st.floats(0, 1), max_size=12), st.sampled_from([0.9, 0.95, 0.99]))
def test_several_claims_are_refuted_as_statsmodels_refutes_them(p_values: list[float], confidence: float) -> None:
    level = holm_confidence([lambda asked, p=p: p < 1 - asked for p in p_values], confidence)
    assert confidence <= level <= 1 - (1 - confidence) / max(len(p_values), 1)
    # Not on the edge, where rounding decides.
    steps = [(1 - confidence) / left for left in range(1, len(p_values) + 1)]
    assume(all(abs(p - step) > 1e-9 for p in p_values for step in steps))
    # statsmodels collects garbage at every call, which takes most of a second once torch is loaded.
    with patch("gc.collect"):
        expected = multipletests(p_values, 1 - confidence, method="holm")[0].tolist() if p_values else []
    assert [p < 1 - level for p in p_values] == expected


@quick
@given(pairs(60), st.integers(0, 60))
def test_recovery_encloses_its_estimate(counts: tuple[int, int, int], both: int) -> None:
    won, lost, n = counts
    both = min(both, n - won - lost)
    assume(both + lost > 0)
    interval = proportion_ratio(won, lost, both, n)
    assert 0 <= interval.lower <= interval.estimate * (1 + 1e-9)
    assert interval.estimate <= interval.upper * (1 + 1e-9)


@given(st.integers(2, 10**6), CONFIDENCE)
def test_sample_size_and_smallest_limit_undo_each_other(n: int, confidence: float) -> None:
    assert abs(needed_n(smallest_limit(n, confidence), confidence) - n) <= 1
    assert smallest_limit(n, confidence) < smallest_limit(n - 1, confidence)
