"""What must hold of every interval, whatever the counts."""

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial, ttest_rel
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import (
    holm_confidence,
    mean_difference,
    median_ratio,
    needed_n,
    proportion_difference,
    proportion_ratio,
    smallest_limit,
)

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


SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40)


@quick
@given(SCORES)
def test_mean_bounds_enclose_the_estimate_and_turn_with_the_models(scores: list[tuple[float, float]]) -> None:
    reference, value = np.array(scores).T
    one, other = mean_difference(reference, value), mean_difference(value, reference)
    assert one.lower <= one.estimate <= one.upper
    assert np.allclose([one.lower, one.upper], [-other.upper, -other.lower], atol=1e-6)


@quick
@given(st.integers(3, 300), st.integers(0, 2**32 - 1), CONFIDENCE)
def test_mean_bounds_lie_outside_the_paired_t_test_of_scipy(n: int, seed: int, confidence: float) -> None:
    reference, value = np.random.default_rng(seed).normal(0, 1, (2, n))
    ours = mean_difference(reference, value, confidence=confidence)
    scipys = ttest_rel(reference, value).confidence_interval(2 * confidence - 1)
    assert ours.lower <= scipys.low + 1e-9
    assert ours.upper >= scipys.high - 1e-9
    # Nor far outside, once the units that were seen say enough of one that was not.
    if n >= 100:
        width = scipys.high - scipys.low
        assert ours.upper - scipys.high <= 0.4 * width


@quick
@given(SCORES, st.integers(0, 39), st.floats(0.01, 1))
def test_a_unit_that_loses_more_never_lowers_the_estimate_nor_pretends_a_gain(
    scores: list[tuple[float, float]], which: int, more: float
) -> None:
    reference, value = np.array(scores).T
    worse = value.copy()
    worse[which % len(worse)] -= more
    before, after = mean_difference(reference, value, reach=3.0), mean_difference(reference, worse, reach=3.0)
    assert after.estimate > before.estimate
    assert after.upper >= before.upper - 1e-6
    assert after.estimate - before.estimate == pytest.approx(more / len(worse))


@quick
@given(SCORES, st.floats(0.1, 100), st.floats(-5, 5))
def test_mean_bounds_follow_the_scale_of_the_scores(
    scores: list[tuple[float, float]], scale: float, shift: float
) -> None:
    reference, value = np.array(scores).round(3).T
    assume(np.ptp(np.concatenate([reference, value])) > 0)
    plain = mean_difference(reference, value)
    moved = mean_difference(scale * reference + shift, scale * value + shift)
    assert np.isclose(moved.upper, scale * plain.upper, rtol=1e-4, atol=1e-6 * scale)


@quick
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 1000), st.floats(0.1, 10))
def test_latency_ratio_follows_the_scale_of_the_value(blocks: int, calls: int, seed: int, scale: float) -> None:
    reference, value = np.random.default_rng(seed).lognormal(14, 0.2, (2, blocks, calls))
    plain, scaled = median_ratio(reference, value), median_ratio(reference, scale * value)
    assert plain.lower <= plain.estimate <= plain.upper
    assert np.isclose(scaled.upper, scale * plain.upper, rtol=1e-3)
