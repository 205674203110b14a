"""What must hold of the bounds of means: of a difference, of a ratio, and of a difference over parts of samples."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_rel

from harness.statistics import Interval, mean_difference, mean_ratio, total_difference

quick = settings(max_examples=25, deadline=None, derandomize=True)
CONFIDENCE = st.sampled_from([0.8, 0.9, 0.95, 0.99])
REACH = st.sampled_from([None, 1.0])
SEED = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Sample:
    """Scores of both models, how many parts each sample has, and the unit that it belongs to."""

    reference: np.ndarray
    value: np.ndarray
    size: np.ndarray
    units: np.ndarray


Bound = Callable[[Sample, float, float | None], Interval]


def difference(sample: Sample, confidence: float, reach: float | None) -> Interval:
    return mean_difference(sample.reference, sample.value, sample.units, confidence, reach)


def ratio(sample: Sample, confidence: float, reach: float | None) -> Interval:
    return mean_ratio(sample.reference, sample.value, sample.units, confidence, reach)


def over_parts(sample: Sample, confidence: float, reach: float | None) -> Interval:
    """Scores are of a part, so that totals are known."""
    totals = sample.size * sample.reference, sample.size * sample.value
    return total_difference(*totals, sample.size, sample.units, confidence, reach)


any_mean = pytest.mark.parametrize("bound", [difference, ratio, over_parts])
any_difference = pytest.mark.parametrize("bound", [difference, over_parts])


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Shares of both models, some of them equal, in units of one or two samples."""
    n, random = draw(st.integers(4, 60)), np.random.default_rng(draw(SEED))
    reference = random.uniform(0.2, 1, n)
    differ = random.random(n) < draw(st.floats(0, 1))
    value = np.where(differ, random.uniform(0, 1, n), reference)
    return Sample(reference, value, random.integers(1, 400, n), np.arange(n) // draw(st.sampled_from([1, 2])))


def assert_close(one: Interval, other: Interval) -> None:
    """Bounds differ by no more than a share of the width that rounding explains."""
    slack = 1e-4 * (other.upper - other.lower) + 1e-9
    assert (one.estimate, one.lower, one.upper) == pytest.approx((other.estimate, other.lower, other.upper), abs=slack)


@any_mean
@quick
@given(samples(), REACH)
def test_a_mean_is_bounded_around_its_estimate_and_more_widely_with_confidence(
    bound: Bound, sample: Sample, reach: float | None
) -> None:
    held = [bound(sample, confidence, reach) for confidence in (0.8, 0.9, 0.95, 0.99)]
    for inner, outer in itertools.pairwise(held):
        slack = 1e-6 * (1 + inner.upper - inner.lower)
        assert outer.lower - slack <= inner.lower <= inner.estimate <= inner.upper <= outer.upper + slack
    assert held[-1].lower <= held[-1].estimate <= held[-1].upper


@any_mean
@quick
@given(samples(), CONFIDENCE, REACH, SEED)
def test_in_which_order_samples_come_and_how_units_are_called_moves_no_bound(
    bound: Bound, sample: Sample, confidence: float, reach: float | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    order, names = random.permutation(len(sample.units)), random.permutation(int(sample.units.max()) + 1)
    moved = Sample(sample.reference[order], sample.value[order], sample.size[order], names[sample.units][order])
    assert_close(bound(moved, confidence, reach), bound(sample, confidence, reach))


@any_mean
@quick
@given(samples(), CONFIDENCE, REACH, st.integers(2, 5))
def test_a_sample_that_its_unit_holds_several_times_is_no_more_evidence(
    bound: Bound, sample: Sample, confidence: float, reach: float | None, times: int
) -> None:
    columns = (sample.reference, sample.value, sample.size, sample.units)
    again = Sample(*(np.repeat(column, times) for column in columns))
    assert_close(bound(again, confidence, reach), bound(sample, confidence, reach))


@any_mean
@quick
@given(samples(), CONFIDENCE, st.floats(1, 10))
def test_a_wider_reach_never_narrows(bound: Bound, sample: Sample, confidence: float, reach: float) -> None:
    narrow, wide = bound(sample, confidence, 1.0), bound(sample, confidence, reach)
    slack = 1e-2 * (wide.upper - wide.lower)  # chances are approximated to within 0.4 % of the bound
    assert wide.lower <= narrow.lower + slack
    assert narrow.upper <= wide.upper + slack


@pytest.mark.parametrize(("bound", "power"), [(difference, 1), (ratio, 0), (over_parts, 1)])
@quick
@given(samples(), CONFIDENCE, REACH, st.floats(0.01, 100))
def test_a_difference_follows_the_scale_of_the_scores_and_a_ratio_does_not(
    bound: Bound, power: int, sample: Sample, confidence: float, reach: float | None, scale: float
) -> None:
    larger = replace(sample, reference=scale * sample.reference, value=scale * sample.value)
    found, factor = bound(larger, confidence, reach and scale * reach), scale**power
    turned = replace(found, estimate=found.estimate / factor, lower=found.lower / factor, upper=found.upper / factor)
    assert_close(turned, bound(sample, confidence, reach))


@any_difference
@quick
@given(samples(), CONFIDENCE, REACH, st.floats(-5, 5))
def test_what_is_added_to_both_models_moves_no_difference(
    bound: Bound, sample: Sample, confidence: float, reach: float | None, shift: float
) -> None:
    moved = replace(sample, reference=sample.reference + shift, value=sample.value + shift)
    assert_close(bound(moved, confidence, reach), bound(sample, confidence, reach))


@any_difference
@quick
@given(samples(), CONFIDENCE, REACH)
def test_swapping_the_models_turns_a_difference(
    bound: Bound, sample: Sample, confidence: float, reach: float | None
) -> None:
    swapped = replace(sample, reference=sample.value, value=sample.reference)
    assert_close(-bound(swapped, confidence, reach), bound(sample, confidence, reach))


@pytest.mark.parametrize(("bound", "centre"), [(difference, 0), (ratio, 1), (over_parts, 0)])
@quick
@given(samples(), CONFIDENCE, REACH)
def test_a_model_beside_itself_is_bounded_around_no_change(
    bound: Bound, centre: int, sample: Sample, confidence: float, reach: float | None
) -> None:
    """None is seen to differ, and one that was not seen may."""
    held = bound(replace(sample, value=sample.reference), confidence, reach)
    assert held.lower < held.estimate < held.upper
    assert held.estimate == pytest.approx(centre)


@quick
@given(samples(), CONFIDENCE)
def test_a_ratio_to_ones_is_what_the_mean_of_the_value_is(sample: Sample, confidence: float) -> None:
    beside = replace(sample, reference=np.ones_like(sample.value))
    drop = difference(beside, confidence, None)
    expected = Interval(1 - drop.estimate, 1 - drop.upper, 1 - drop.lower, confidence, drop.method)
    assert_close(ratio(beside, confidence, None), expected)


@quick
@given(st.integers(5, 200), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_right_and_wrong_has_the_bound_of_clopper_and_pearson_or_student(
    n: int, share: float, confidence: float
) -> None:
    """The larger one: where most are lost, that is Student's."""
    lost = int(share * (n - 1))
    upper = mean_difference(np.ones(n), np.arange(n) >= lost, None, confidence, reach=1.0).upper
    exact = binomtest(lost, n, alternative="less").proportion_ci(confidence).high
    student = lost / n + t.ppf(confidence, n - 1) * math.sqrt(lost / n * (1 - lost / n) / (n - 1))
    assert 0.999 * max(exact, student) <= upper <= 1.01 * max(exact, student)


@quick
@given(samples(), CONFIDENCE, REACH, st.integers(2, 9))
def test_how_parts_are_counted_moves_no_bound(
    sample: Sample, confidence: float, reach: float | None, times: int
) -> None:
    """Ten times the tokens with ten times the total are the same text."""
    longer = replace(sample, size=times * sample.size)
    assert_close(over_parts(longer, confidence, reach), over_parts(sample, confidence, reach))


@quick
@given(samples(), CONFIDENCE, SEED)
def test_a_document_that_is_cut_into_windows_is_the_same_unit(sample: Sample, confidence: float, seed: int) -> None:
    share = np.random.default_rng(seed).uniform(0.1, 0.9, len(sample.units))
    whole = (sample.size * sample.reference, sample.size * sample.value, sample.size)
    windows = [np.concatenate([share * one, one - share * one]) for one in whole]
    cut = total_difference(*windows, np.tile(sample.units, 2), confidence)
    assert_close(cut, over_parts(sample, confidence, None))


@quick
@given(st.integers(3, 200), SEED, CONFIDENCE, st.integers(1, 500))
def test_texts_of_one_length_are_scores_and_lie_outside_the_t_test_of_scipy(
    n: int, seed: int, confidence: float, length: int
) -> None:
    before, after = np.random.default_rng(seed).normal(0, 1, (2, n))
    ours = total_difference(length * before, length * after, np.full(n, length), None, confidence)
    plain = mean_difference(before, after, None, confidence)
    assert (ours.lower, ours.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-4, abs=1e-6)
    scipys = ttest_rel(before, after).confidence_interval(2 * confidence - 1)
    assert ours.lower <= scipys.low + 1e-9
    assert ours.upper >= scipys.high - 1e-9


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


# As hypothesis likes them: many alike, some at an end of the range.
SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40)


@quick
@given(SCORES)
def test_mean_bounds_enclose_the_estimate_and_turn_with_the_models(scores: list[tuple[float, float]]) -> None:
    reference, value = np.array(scores).T
    one, other = mean_difference(reference, value), mean_difference(value, reference)
    assert one.lower <= one.estimate <= one.upper
    assert np.allclose([one.lower, one.upper], [-other.upper, -other.lower], atol=1e-6)


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
