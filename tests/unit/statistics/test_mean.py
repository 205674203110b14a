import math

import numpy as np
import pytest
from scipy.stats import beta, binom, bootstrap, t
from scipy.stats import gamma as gamma_distribution

from harness.statistics import mean_difference, mean_ratio, total_difference
from harness.statistics.mean import positive_chance, skewed_quantile


@pytest.mark.parametrize(("lost", "n"), [(0, 20), (1, 20), (5, 100), (2, 1000)])
def test_zero_one_scores_have_the_clopper_pearson_bound(lost: int, n: int) -> None:
    reference, value = np.ones(n), np.ones(n)
    value[:lost] = 0
    expected = beta.ppf(0.95, lost + 1, n - lost)
    assert mean_difference(reference, value, reach=1).upper == pytest.approx(expected, rel=0.02)
    # And what is won is bounded as what is lost.
    assert mean_difference(value, reference, reach=1).lower == pytest.approx(-expected, rel=0.02)


def test_where_all_is_lost_no_more_can_be() -> None:
    assert mean_difference(np.ones(20), np.zeros(20), reach=1).upper == 1.0


@pytest.mark.parametrize("large", [3, 5, 20])
@pytest.mark.parametrize("lost", [0.1, 0.2, 0.4, 0.6, 0.8])
def test_losses_in_the_few_large_units_are_not_passed_falsely(large: int, lost: float) -> None:
    """Units of 1 and of 100 samples; of the large ones a share is lost outright, and often none of these is seen.

    By summing the binomial distribution over how many of them are: a limit at the true drop may pass in 5 % at most.
    """
    size = np.array([1.0] * 95 + [100.0] * large)
    limit = lost * 100 * large / size.sum()
    false_pass = 0.0
    for count in range(large + 1):
        after = size.copy()
        after[95 : 95 + count] = 0.0
        upper = total_difference(size, after, size, reach=1.0).upper
        false_pass += float(binom.pmf(count, large, lost)) * (upper < limit)
    assert false_pass <= 0.05


def test_positive_chance_of_two_groups_is_a_beta_probability() -> None:
    # Sum of 3 exponentials against 7 at 0.2 each: P(G3 > 0.2 G7) = P(Beta(3, 7) > 1/6).
    weights = np.array([1.0] * 3 + [-0.2] * 7)
    assert positive_chance(weights) == pytest.approx(beta.sf(1 / 6, 3, 7), rel=0.005)
    assert positive_chance(np.array([1.0, -2.0])) == pytest.approx(1 / 3, rel=0.05)
    draws = gamma_distribution.rvs(1, size=(200_000, 4), random_state=0) @ np.array([3.0, 0.5, -0.1, -2.5])
    assert positive_chance(np.array([3.0, 0.5, -0.1, -2.5])) == pytest.approx((draws > 0).mean(), abs=0.01)
    assert (positive_chance(np.array([1.0, 2.0])), positive_chance(np.array([-1.0, -2.0]))) == (1.0, 0.0)


def test_never_undercuts_student_and_comes_near_it() -> None:
    generator = np.random.default_rng(0)
    reference = generator.random(400)
    drop = generator.normal(0.01, 0.05, 400)
    interval = mean_difference(reference, reference - drop)
    student = drop.mean() + t.ppf(0.95, 399) * drop.std(ddof=1) / 20
    assert student <= interval.upper < drop.mean() + 1.3 * (student - drop.mean())


def test_agrees_with_scipys_bca_on_a_large_sample() -> None:
    generator = np.random.default_rng(1)
    drop = generator.exponential(0.02, 3000)
    reference = generator.uniform(0.5, 1.0, 3000)
    ours = mean_difference(reference, reference - drop, reach=0.3)
    theirs = bootstrap((drop,), np.mean, confidence_level=0.9, n_resamples=2000, method="BCa", rng=0)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.upper == pytest.approx(theirs.confidence_interval.high, abs=0.25 * width)
    assert ours.lower == pytest.approx(theirs.confidence_interval.low, abs=0.25 * width)


def test_units_and_not_samples_count() -> None:
    generator = np.random.default_rng(2)
    photo = np.repeat(generator.normal(0.02, 0.05, 20), 10)
    reference = np.full(200, 0.8)
    clustered = mean_difference(reference, reference - photo, np.repeat(np.arange(20), 10))
    alone = mean_difference(reference[:20], reference[:20] - photo[::10])
    assert clustered.upper == pytest.approx(alone.upper)
    assert clustered.estimate == pytest.approx(photo.mean())


def test_units_of_unequal_size_are_weighted_by_their_samples() -> None:
    reference, value = np.array([1.0, 1.0, 1.0, 0.5]), np.array([1.0, 0.5, 0.5, 0.5])
    assert mean_difference(reference, value, np.array([7, 3, 3, 3])).estimate == pytest.approx(0.25)


def test_identical_scores_are_not_taken_for_certainty() -> None:
    scores = np.linspace(0, 1, 100)
    interval = mean_difference(scores, scores)
    assert interval.upper == pytest.approx(0.0295, abs=1e-4)  # 1 - 0.05^(1/100), over a range of 1
    assert interval.lower == -interval.upper


@pytest.mark.parametrize("scores", [np.zeros(5), np.array([0.7])])
def test_scores_that_say_nothing_bound_nothing(scores: np.ndarray) -> None:
    interval = mean_difference(scores, scores)
    assert (interval.lower, interval.upper) == (-math.inf, math.inf)


def test_scores_that_differ_by_rounding_alone_have_no_range() -> None:
    """What lies within rounding of 1 says no more of others than what is 1."""
    nearly = 1 + 1e-16 * np.arange(5)
    assert mean_difference(nearly, np.ones(5)).upper == pytest.approx(mean_difference(np.ones(5), np.ones(5)).upper)


def test_ratio_follows_the_scale_and_inverts() -> None:
    generator = np.random.default_rng(3)
    reference = generator.uniform(1, 2, 300)
    value = reference * generator.normal(0.98, 0.02, 300)
    one, scaled = mean_ratio(reference, value), mean_ratio(1000 * reference, 1000 * value)
    assert (scaled.lower, scaled.upper) == pytest.approx((one.lower, one.upper))
    assert one.lower < value.sum() / reference.sum() < one.upper
    assert 1 / mean_ratio(value, reference).upper == pytest.approx(one.lower, abs=2e-3)


@pytest.mark.parametrize("lost", [0, 1, 2, 5])
def test_a_ratio_counts_the_units_that_differ_as_a_drop_does(lost: int) -> None:
    """Of 100 varied scores a few lose a little: an unseen one may lose as much of the ratio as of the mean.

    The ratio is 1 - drop ÷ mean there, to the first order. Units that both models answer alike lie apart from the mean
    ratio by shares of their scores: were they counted as differing, the bound would be at a tenth of it.
    """
    reference = np.linspace(0.5, 1.0, 100)
    value = reference.copy()
    value[20 : 20 + lost] -= 0.005
    upper = mean_difference(reference, value).upper
    assert (1 - mean_ratio(reference, value).lower) * reference.mean() == pytest.approx(upper, rel=0.03)


@pytest.mark.parametrize("lines", [(5, 4), (1, 1), (8, 2)])
@pytest.mark.parametrize("n", [5, 20, 100])
def test_what_only_the_compressed_model_has_is_not_passed_unseen(n: int, lines: tuple[int, int]) -> None:
    """Units of some lines, of which both models have the same ones right; none is seen that only one model has.

    Where a share s of units is all of the compressed model's and none of float's, the ratio is 1 + size ÷ right × s ÷
    (1 - s), and none of n is one with the chance (1 - s)^n. That is to be 5 % where the ratio is the bound.
    """
    size, right = lines
    both = np.tile(np.arange(size) < right, n)
    upper = mean_ratio(both, both, np.repeat(np.arange(n), size), reach=1.0).upper
    odds = (upper - 1) * right / size
    missed = (1 / (1 + odds)) ** n
    assert 0.048 <= missed <= 0.05 + 1e-6
    # Five lines, four of them right.
    if lines == (5, 4) and n < 100:
        assert upper == pytest.approx({5: 2.026, 20: 1.202}[n], abs=0.01)


def test_what_only_the_float_model_has_is_not_passed_unseen() -> None:
    """The other way: a share s of units is all of float's, the ratio is 1 ÷ (1 + size ÷ right × s ÷ (1 - s))."""
    for n in (5, 20, 100):
        both = np.tile([1.0, 1.0, 1.0, 1.0, 0.0], n)
        lower = mean_ratio(both, both, np.repeat(np.arange(n), 5), reach=1.0).lower
        odds = (1 / lower - 1) * 4 / 5 if lower > 0 else math.inf
        assert (1 / (1 + odds)) ** n <= 0.05 + 1e-6


def test_false_pass_rate_where_few_units_differ() -> None:
    generator = np.random.default_rng(4)
    n, limit, sets = 100, 0.1 * 0.25, 300
    passed = 0
    for _ in range(sets):
        reference = generator.uniform(0.5, 1, n)
        change = (generator.random(n) < 0.1) * generator.uniform(0, 0.5, n)
        passed += mean_difference(reference, reference - change).upper < limit
    assert passed / sets <= 0.058


@pytest.mark.parametrize(
    ("reference", "value", "units", "message"),
    [
        ([], [], None, "non-empty"),
        ([1.0, math.nan], [1.0, 1.0], None, "not finite"),
        ([1.0, 1.0], [1.0, math.inf], None, "not finite"),
        ([1.0, 1.0], [1.0], None, "must pair up"),
        ([1.0, 1.0], [1.0, 1.0], [1], "units names 1"),
    ],
)
def test_refuses_scores_that_mean_nothing(
    reference: list[float], value: list[float], units: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mean_difference(reference, value, None if units is None else np.array(units))


def test_refuses_a_ratio_to_scores_around_zero() -> None:
    with pytest.raises(ValueError, match="bound the difference"):
        mean_ratio([1.0, -1.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="positive"):
        mean_ratio([0.0, 0.0], [1.0, 1.0])
    # A unit may have nothing to lose; all of them together may not.
    assert mean_ratio([1.0, 0.0, 2.0], [1.0, 0.0, 2.0]).estimate == 1.0


def test_skewed_scores_ask_for_more_than_students_quantile() -> None:
    # Hall's transformation of the quantile found gives Student's back, by its definition.
    error = np.random.default_rng(0).exponential(1, 50)
    error -= error.mean()
    found, student = skewed_quantile(error, 0.95), t.ppf(0.95, 49)
    slant = (error**3).mean() / error.std(ddof=1) ** 3 / math.sqrt(50)
    assert -found + slant * found**2 / 3 - slant**2 * found**3 / 27 + slant / 6 == pytest.approx(-student)
    assert found > student
    # The other way, and where nothing is skewed, Student's stays.
    assert skewed_quantile(-error, 0.95) == pytest.approx(student)
    assert skewed_quantile(np.array([-1.0, 0.0, 1.0]), 0.95) == pytest.approx(t.ppf(0.95, 2))
    assert skewed_quantile(np.zeros(3), 0.95) == pytest.approx(t.ppf(0.95, 2))


@pytest.mark.parametrize("n", [50, 100])
def test_false_pass_rate_of_skewed_scores(n: int) -> None:
    # Exponential losses, which every unit has: Student's bound is passed by 8.7 % of sets at n = 50.
    drops = np.random.default_rng(5).exponential(1.0, (400, n))
    student = drops.mean(axis=1) + t.ppf(0.95, n - 1) * drops.std(axis=1, ddof=1) / math.sqrt(n)
    passed = [mean_difference(one, np.zeros(n)).upper < 1.0 for one in drops]
    assert np.mean(passed) <= 0.058 < np.mean(student < 1.0)


def test_totals_of_single_parts_are_plain_scores_and_parts_of_a_unit_add_up():
    generator = np.random.default_rng(3)
    reference, value = generator.normal(2, 1, (2, 40))
    units = np.repeat(np.arange(10), 4)
    plain = mean_difference(reference, value, units)
    assert total_difference(reference, value, np.ones(40), units) == plain
    # The same parts, counted unit by unit: a total of four each.
    sums = [side.reshape(10, 4).sum(axis=1) for side in (reference, value)]
    by_unit = total_difference(*sums, np.full(10, 4))
    assert by_unit.estimate == pytest.approx(plain.estimate)
    assert (by_unit.lower, by_unit.upper) == pytest.approx((plain.lower, plain.upper))
    with pytest.raises(ValueError, match="every unit needs parts"):
        total_difference(*sums, np.zeros(10))
