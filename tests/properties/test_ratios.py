"""What must hold of the intervals of ratios: of times, and of proportions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from harness.statistics import Interval, median_ratio, proportion_ratio

quick = settings(max_examples=30, deadline=None, derandomize=True)
CONFIDENCE = st.sampled_from([0.8, 0.9, 0.95, 0.99])
SEED = st.integers(0, 2**32 - 1)


def inverse(ratio: float) -> float:
    return 1 / ratio if ratio else math.inf


def assert_inverse(one: Interval, other: Interval) -> None:
    """One is the interval of the other's ratio turned upside down."""
    turned = (inverse(other.estimate), inverse(other.upper), inverse(other.lower))
    assert (one.estimate, one.lower, one.upper) == pytest.approx(turned, rel=1e-9)


@st.composite
def times(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of both models, each with a number of calls of its own."""
    blocks, random = draw(st.integers(2, 12)), np.random.default_rng(draw(SEED))
    spread = draw(st.floats(0, 0.5))
    float_calls, calls = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return 1e6 * random.lognormal(0, spread, (blocks, float_calls)), 1e6 * random.lognormal(1, spread, (blocks, calls))


@quick
@given(times(), CONFIDENCE)
def test_swapping_the_models_turns_a_ratio_of_times(both: tuple, confidence: float) -> None:
    reference, value = both
    assert_inverse(median_ratio(reference, value, confidence), median_ratio(value, reference, confidence))


@quick
@given(times(), CONFIDENCE, st.floats(1, 100))
def test_a_machine_that_is_slower_throughout_moves_no_ratio_of_times(
    both: tuple, confidence: float, slower: float
) -> None:
    reference, value = both
    plain, slow = median_ratio(*both, confidence), median_ratio(slower * reference, slower * value, confidence)
    # A nanosecond, to which no median is known more finely, is a smaller share of a longer time.
    assert slow.estimate == pytest.approx(plain.estimate)
    assert plain.lower <= slow.lower * (1 + 1e-9)
    assert slow.upper <= plain.upper * (1 + 1e-9)
    assert (slow.lower, slow.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-4)


@quick
@given(times(), CONFIDENCE, st.floats(0.5, 100))
def test_a_model_that_is_slower_or_quicker_throughout_has_its_ratio_multiplied(
    both: tuple, confidence: float, factor: float
) -> None:
    reference, value = both
    plain, moved = median_ratio(*both, confidence), median_ratio(reference, factor * value, confidence)
    assert (moved.estimate, moved.lower, moved.upper) == pytest.approx(
        (factor * plain.estimate, factor * plain.lower, factor * plain.upper), rel=1e-4
    )


@quick
@given(times(), CONFIDENCE, SEED)
def test_in_which_order_the_calls_of_a_block_were_made_does_not_matter(
    both: tuple, confidence: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    assert median_ratio(*(random.permuted(one, axis=1) for one in both), confidence) == median_ratio(*both, confidence)


@quick
@given(times(), CONFIDENCE, st.integers(2, 5))
def test_a_call_that_is_read_several_times_is_no_more_evidence(both: tuple, confidence: float, often: int) -> None:
    """Blocks are what is sampled, and there are no more of them."""
    again = (np.repeat(one, often, axis=1) for one in both)
    assert median_ratio(*again, confidence) == median_ratio(*both, confidence)


@quick
@given(times())
def test_a_ratio_of_times_is_bounded_around_its_estimate_and_more_widely_with_confidence(both: tuple) -> None:
    held = [median_ratio(*both, confidence) for confidence in (0.8, 0.9, 0.95, 0.99)]
    for less, more in itertools.pairwise(held):
        assert more.lower <= less.lower <= less.estimate <= less.upper <= more.upper


@st.composite
def counts(draw: st.DrawFn, largest: int = 60) -> tuple[int, int, int]:
    """Pairs won, lost, and right for both, of which there are some."""
    won, lost = draw(st.integers(0, 15)), draw(st.integers(0, 15))
    return won, lost, draw(st.integers(2, largest))


def relative(interval: Interval) -> tuple[float, float]:
    """Bounds of (1 - ratio) / (1 + ratio), which is as wide above a ratio of 1 as below it."""
    low, high = (-1.0 if one == math.inf else (1 - one) / (1 + one) for one in (interval.upper, interval.lower))
    return low, high


@quick
@given(counts(), CONFIDENCE)
def test_swapping_the_models_turns_a_ratio_of_proportions(three: tuple, confidence: float) -> None:
    won, lost, both = three
    n = won + lost + both + 3
    one, other = proportion_ratio(won, lost, both, n, confidence), proportion_ratio(lost, won, both, n, confidence)
    assert_inverse(one, other)


@quick
@given(counts())
def test_one_more_pair_lost_never_raises_a_bound_of_the_ratio(three: tuple) -> None:
    """A pair that both models had right, and the compressed one has no longer."""
    won, lost, both = three
    n = won + lost + both
    before, after = proportion_ratio(won, lost, both, n), proportion_ratio(won, lost + 1, both - 1, n)
    assert after.estimate < before.estimate
    (low, high), (lower, upper) = relative(before), relative(after)
    slack = 1e-2 * (high - low)  # bounds are rounded outward, and the chance that they are read off is not quite smooth
    assert lower >= low - slack
    assert upper >= high - slack


@quick
@given(counts(), st.integers(1, 1000), CONFIDENCE)
def test_pairs_that_both_models_have_wrong_tell_nothing_of_the_ratio(
    three: tuple, wrong: int, confidence: float
) -> None:
    n = sum(three)
    assert proportion_ratio(*three, n, confidence) == proportion_ratio(*three, n + wrong, confidence)


@quick
@given(counts())
def test_more_confidence_never_narrows_a_ratio_of_proportions(three: tuple) -> None:
    n = sum(three)
    held = [relative(proportion_ratio(*three, n, confidence)) for confidence in (0.8, 0.9, 0.95, 0.99)]
    for (low, high), (lower, upper) in itertools.pairwise(held):
        slack = 1e-2 * (upper - lower)
        assert lower <= low + slack
        assert high <= upper + slack


@quick
@given(st.integers(2, 8), st.sampled_from([0.8, 0.9, 0.95]), st.floats(0, 0.95), st.floats(0, 1))
def test_the_true_ratio_is_missed_in_no_more_samples_than_claimed(
    n: int, confidence: float, discordance: float, lean: float
) -> None:
    """Summed over all outcomes of pairs that at least one model has right: others tell nothing."""
    lost_rate = discordance * lean
    chances = [discordance - lost_rate, lost_rate, 1 - discordance]
    truth = (1 - lost_rate) / (1 - chances[0])
    points = [(won, lost, n - won - lost) for won in range(n + 1) for lost in range(n + 1 - won)]
    chance = multinomial.pmf(points, n, chances)
    intervals = [proportion_ratio(*point, n, confidence) for point in points]
    below = sum(one for one, held in zip(chance, intervals, strict=True) if held.lower > truth * (1 + 1e-9))
    above = sum(one for one, held in zip(chance, intervals, strict=True) if held.upper < truth * (1 - 1e-9))
    # The nuisance parameter is tried on a grid.
    assert below <= 1 - confidence + 1e-3
    assert above <= 1 - confidence + 1e-3
