"""What must hold of the intervals of set statistics and of the kernel distance, and of repeated looks."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm

from harness.statistics import ImageSet, Interval, Looks, distance_rise, kernel, statistic_difference
from harness.statistics.set_statistic import Statistic

quick = settings(max_examples=30, deadline=None, derandomize=True)
LEVELS = (0.8, 0.9, 0.95, 0.99)
CONFIDENCE = st.sampled_from(LEVELS)
SEED = st.integers(0, 2**32 - 1)


def assert_nested(intervals: Sequence[Interval]) -> None:
    """Each within the next, which is of a higher confidence."""
    for less, more in itertools.pairwise(intervals):
        assert more.lower <= less.lower
        assert less.upper <= more.upper


def assert_opposite(one: Interval, other: Interval, within: float = 1e-9) -> None:
    """One is the other with its sign turned."""
    assert (one.estimate, one.lower, one.upper) == pytest.approx(
        (-other.estimate, -other.upper, -other.lower), abs=within
    )


def means(reference: np.ndarray, value: np.ndarray) -> Statistic:
    return lambda weights: (weights @ reference / weights.sum(axis=1), weights @ value / weights.sum(axis=1))


@st.composite
def outcomes(draw: st.DrawFn, largest: int = 60) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(3, largest))
    random = np.random.default_rng(draw(SEED))
    return random.random(n) < draw(st.floats(0.3, 1)), random.random(n) < draw(st.floats(0.3, 1))


def of_set(
    reference: np.ndarray, value: np.ndarray, confidence: float, swing: float = 1.0, scale: float = 1.0
) -> Interval:
    statistic = means(scale * reference, scale * value)
    return statistic_difference(statistic, np.ones(len(value), dtype=int), confidence, swing=swing, resamples=500)


@quick
@given(outcomes())
def test_a_set_statistic_is_bounded_around_its_estimate_and_more_widely_with_confidence(pair: tuple) -> None:
    held = [of_set(*pair, confidence) for confidence in LEVELS]
    assert_nested(held)
    assert all(one.lower <= one.estimate <= one.upper for one in held)


@quick
@given(outcomes(), CONFIDENCE, st.floats(1, 10))
def test_swapping_the_models_turns_a_set_statistic(pair: tuple, confidence: float, swing: float) -> None:
    reference, value = pair
    assert_opposite(of_set(reference, value, confidence, swing), of_set(value, reference, confidence, swing))


@quick
@given(outcomes(), CONFIDENCE, st.floats(0.01, 100))
def test_a_set_statistic_follows_its_scale(pair: tuple, confidence: float, scale: float) -> None:
    plain, scaled = of_set(*pair, confidence), of_set(*pair, confidence, swing=scale, scale=scale)
    assert (scaled.lower, scaled.upper) == pytest.approx((scale * plain.lower, scale * plain.upper), abs=1e-9 * scale)


@quick
@given(outcomes(), CONFIDENCE, st.floats(-5, 5))
def test_what_is_added_to_both_statistics_moves_no_bound(pair: tuple, confidence: float, shift: float) -> None:
    reference, value = pair
    plain, moved = of_set(*pair, confidence), of_set(reference + shift, value + shift, confidence)
    assert (moved.lower, moved.upper) == pytest.approx((plain.lower, plain.upper), abs=1e-9)


@quick
@given(outcomes(), CONFIDENCE, st.floats(1, 10), st.floats(0, 10))
def test_a_wider_swing_never_narrows(pair: tuple, confidence: float, swing: float, more: float) -> None:
    narrow, wide = of_set(*pair, confidence, swing), of_set(*pair, confidence, swing + more)
    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


@quick
@given(outcomes(), CONFIDENCE, st.floats(1, 10))
def test_a_model_beside_itself_is_bounded_around_no_change(pair: tuple, confidence: float, swing: float) -> None:
    """None is seen to differ, and one that was not seen may."""
    held = of_set(pair[0], pair[0], confidence, swing)
    assert held.lower < 0 < held.upper
    assert held.estimate == 0


@quick
@given(outcomes(), CONFIDENCE, st.floats(1, 10), SEED)
def test_one_more_sample_lost_lowers_no_bound_of_a_set_statistic(
    pair: tuple, confidence: float, swing: float, seed: int
) -> None:
    reference, value = pair
    assume(value.any())
    worse = value.copy()
    worse[np.random.default_rng(seed).choice(np.flatnonzero(value))] = False
    fewer, more = (of_set(reference, one, confidence, swing) for one in (value, worse))
    assert fewer.estimate < more.estimate
    assert fewer.lower <= more.lower + 1e-12
    assert fewer.upper <= more.upper + 1e-12


@quick
@given(st.integers(6, 400), st.integers(0, 5), CONFIDENCE)
def test_of_a_share_it_is_the_bound_of_clopper_and_pearson(n: int, lost: int, confidence: float) -> None:
    """Within three standard errors of the quantile of 20,000 draws."""
    statistic = means(np.ones(2), np.array([1.0, 0.0]))
    counts = [n - lost, lost] if lost else [n]
    side = statistic if lost else means(np.ones(1), np.ones(1))
    found = statistic_difference(side, np.array(counts), confidence, resamples=20_000)
    exact = beta(lost + 1, n - lost)
    error = math.sqrt(confidence * (1 - confidence) / 20_000) / exact.pdf(exact.ppf(confidence))
    assert found.upper == pytest.approx(exact.ppf(confidence), abs=4 * error)


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features of both models' images, of a broken one, and of real ones."""
    n = draw(st.integers(4, 25))
    random = np.random.default_rng(draw(SEED))
    reference = draw(st.floats(0, 0.5)) + random.standard_normal((n, 6))
    value = reference + draw(st.floats(0, 0.3)) * random.standard_normal((n, 6))
    return reference, value, 4 + random.standard_normal((1, 6)), random.standard_normal((60, 6))


def rise(
    reference: np.ndarray, value: np.ndarray, broken: np.ndarray, real: np.ndarray, confidence: float, more: float = 0.0
) -> Interval:
    """With so much more kernel of every image with the real ones."""
    sets = [ImageSet(one, kernel(one, real).mean(axis=1) + more) for one in (reference, value, broken)]
    return distance_rise(*sets, confidence=confidence, resamples=300)


@quick
@given(images())
def test_a_rise_of_the_distance_is_bounded_more_widely_with_confidence(four: tuple) -> None:
    held = [rise(*four, confidence) for confidence in LEVELS]
    assert_nested(held)
    assert held[-1].lower <= held[-1].estimate <= held[-1].upper


@quick
@given(images(), CONFIDENCE)
def test_swapping_the_models_turns_the_rise_of_the_distance(four: tuple, confidence: float) -> None:
    reference, value, broken, real = four
    one = rise(reference, value, broken, real, confidence)
    assert_opposite(one, rise(value, reference, broken, real, confidence), 1e-9 * (1 + one.upper - one.lower))


@quick
@given(images(), CONFIDENCE, SEED)
def test_turning_the_feature_space_leaves_the_distance_alone(four: tuple, confidence: float, seed: int) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))
    plain, turned = rise(*four, confidence), rise(*(each @ turn for each in four), confidence)
    assert (turned.lower, turned.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-6, abs=1e-8)


@quick
@given(images(), CONFIDENCE, st.floats(-5, 5))
def test_what_all_images_have_in_common_with_real_ones_moves_no_rise(
    four: tuple, confidence: float, more: float
) -> None:
    plain, moved = rise(*four, confidence), rise(*four, confidence, more)
    assert (moved.estimate, moved.lower, moved.upper) == pytest.approx(
        (plain.estimate, plain.lower, plain.upper), rel=1e-6, abs=1e-8
    )


@quick
@given(images(), CONFIDENCE)
def test_the_rise_of_a_generator_beside_itself_is_bounded_alike_on_both_sides(four: tuple, confidence: float) -> None:
    reference, _, broken, real = four
    held = rise(reference, reference, broken, real, confidence)
    assert held.lower < 0 < held.upper
    assert held.estimate == pytest.approx(0, abs=1e-12)
    assert held.lower == pytest.approx(-held.upper)


LOOKS = st.builds(Looks, CONFIDENCE, st.integers(1, 8), st.integers(2, 20))


@quick
@given(LOOKS)
def test_every_look_is_surer_than_all_together(looks: Looks) -> None:
    assert len(looks.confidences) == len(looks.schedule) == looks.most
    assert all(looks.confidence - 1e-9 <= level < 1 for level in looks.confidences)
    # One look needs no more than was asked for, and of several none is as cheap.
    assert (looks.confidences[-1] == pytest.approx(looks.confidence, abs=1e-6)) is (looks.most == 1)
    assert list(looks.schedule) == [looks.first_blocks * look for look in range(1, looks.most + 1)]


@quick
@given(LOOKS)
def test_the_first_look_spends_what_lan_and_demets_allow(looks: Looks) -> None:
    spent = (1 - looks.confidence) * math.log1p((math.e - 1) / looks.most)
    assert norm.ppf(looks.confidences[0]) == pytest.approx(norm.isf(spent), abs=1e-6)


@quick
@given(st.sampled_from([(0.8, 0.9), (0.9, 0.95), (0.95, 0.99)]), st.integers(1, 8), st.integers(2, 20))
def test_more_confidence_makes_every_look_surer_and_blocks_do_not_matter(
    confidences: tuple[float, float], most: int, first: int
) -> None:
    less, more = (Looks(confidence, most, first) for confidence in confidences)
    assert all(one < other for one, other in zip(less.confidences, more.confidences, strict=True))
    assert Looks(confidences[0], most, first + 1).confidences == pytest.approx(less.confidences)


@quick
@given(st.integers(2, 8), SEED)
def test_all_looks_together_err_no_more_than_was_asked_for(most: int, seed: int) -> None:
    """Paths without drift cross the boundaries, each at its share of the sample, in 5 % of 20,000."""
    assume(most > 1)
    critical = norm.ppf(Looks(0.95, most).confidences)
    steps = np.random.default_rng(seed).standard_normal((20_000, most)).cumsum(axis=1)
    crossed = (steps / np.sqrt(np.arange(1, most + 1)) > critical).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=4.5 * math.sqrt(0.05 * 0.95 / 20_000))
