import numpy as np
import pytest
import scipy.stats

from harness.statistics import ImageSet, distance_rise, kernel, mean_kernel
from harness.statistics.frechet import frechet_distance
from harness.statistics.kernel_distance import distance, weighted_distance, worst_of


def described(features: np.ndarray, real: np.ndarray) -> ImageSet:
    return ImageSet(features, kernel(features, real).mean(axis=1))


@pytest.fixture
def sets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    real, made = generator.standard_normal((30, 5)), 0.3 + generator.standard_normal((17, 5))
    return real, made, made + 0.05 * generator.standard_normal(made.shape)


def test_the_distance_is_that_of_a_plain_double_loop(sets: tuple[np.ndarray, ...]) -> None:
    real, made, _ = sets

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    # Bińkowski et al. 2018, equation 4: no image is compared with itself.
    own = [k(x, y) for i, x in enumerate(made) for j, y in enumerate(made) if i != j]
    theirs = [k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j]
    cross = [k(x, y) for x in made for y in real]
    expected = np.mean(own) + np.mean(theirs) - 2 * np.mean(cross)
    assert distance(described(made, real), mean_kernel(real)) == pytest.approx(expected, rel=1e-12)


def test_it_is_unbiased_where_both_sets_are_of_one_kind() -> None:
    generator = np.random.default_rng(0)
    drawn = [generator.standard_normal((2, 12, 4)) for _ in range(600)]
    distances = [distance(described(made, real), mean_kernel(real)) for made, real in drawn]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(len(distances))
    assert min(distances) < 0


def test_weights_count_images_as_often_and_those_of_a_kind_meet_as_the_most_alike_do(
    sets: tuple[np.ndarray, ...],
) -> None:
    real, made, _ = sets
    images = described(made, real)
    weights = np.random.default_rng(1).dirichlet(np.ones(len(made)), 3)
    between = kernel(made, made)
    twins = [max(between[i, j] for j in range(len(made)) if j != i) for i in range(len(made))]
    for found, row in zip(weighted_distance(images, 7.0)(weights), weights, strict=True):
        pairs = sum(
            row[i] * row[j] * (twins[i] if i == j else between[i, j])
            for i in range(len(made))
            for j in range(len(made))
        )
        assert found == pytest.approx(pairs - 2 * row @ images.real + 7.0)
    # Where images of a kind are alike it is the distance of a set that holds each as often as it counts. Of vectors of
    # one length none has more in common with another than with itself.
    kinds = made[:4] / np.linalg.norm(made[:4], axis=1, keepdims=True)
    alike = described(np.repeat(kinds, 2, axis=0), real)
    assert weighted_distance(alike)(np.ones((1, 8)))[0] == pytest.approx(
        kernel(kinds, kinds).mean() - 2 * kernel(kinds, real).mean()
    )


@pytest.mark.parametrize("seen", [0, 1, 2, 5])
@pytest.mark.parametrize("at_hand", [1, 3])
def test_a_share_of_broken_images_is_bounded_by_what_they_make_of_each_other(seen: int, at_hand: int) -> None:
    # All others are white, so the distance rises by the square of the share that is black; so many were seen of 400.
    ordinary, black = np.zeros((400, 1)), np.full((at_hand, 1), 5.0)
    value = ordinary.copy()
    value[:seen] = 5.0
    real = np.zeros(400)
    share = scipy.stats.beta.ppf(0.95, seen + 1, 400 - seen)
    upper = distance_rise(ImageSet(ordinary, real), ImageSet(value, real), ImageSet(black, np.zeros(at_hand))).upper
    # Kernels: (25 + 1)³ of two black ones, 1 of any other pair.
    assert upper == pytest.approx(share**2 * (26**3 - 1), rel=0.1)


def test_equal_images_rise_by_nothing_and_leave_room_for_one_that_was_not_seen(sets: tuple[np.ndarray, ...]) -> None:
    real, made, _ = sets
    images, broken = described(made, real), described(np.full((2, 5), [[3.0], [0.1]]), real)
    interval = distance_rise(images, images, broken)
    assert interval.estimate == 0
    assert interval.lower < 0 < interval.upper
    # A worse image that was not seen is worth more room.
    worse = described(np.full((1, 5), 6.0), real)
    assert distance_rise(images, images, worse).upper > 2 * interval.upper
    assert worst_of(broken, images) == 0


def test_the_bounds_turn_with_the_models(sets: tuple[np.ndarray, ...]) -> None:
    real, made, moved = sets
    one, other = described(made, real), described(moved, real)
    broken = described(np.full((1, 5), 3.0), real)
    there, back = distance_rise(one, other, broken), distance_rise(other, one, broken)
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.estimate == pytest.approx(distance(other, 0.0) - distance(one, 0.0))
    assert there.lower < there.estimate < there.upper


def test_too_few_images_bound_nothing(sets: tuple[np.ndarray, ...]) -> None:
    real, made, _ = sets
    two = described(made[:2], real)
    assert distance_rise(two, two, two).upper == np.inf
    with pytest.raises(ValueError, match="same images"):
        distance_rise(two, described(made, real), two)
    with pytest.raises(ValueError, match="two images"):
        mean_kernel(made[:1])


def exact(generator: np.random.Generator, mean: np.ndarray, covariance: np.ndarray, n: int = 200) -> np.ndarray:
    """Samples whose own mean and covariance are exactly these."""
    drawn = generator.standard_normal((n, len(mean)))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_two_normal_distributions_in_closed_form() -> None:
    generator = np.random.default_rng(1)
    # Covariances that commute: the squared difference of their roots.
    one = exact(generator, np.array([1.0, 0.0]), np.diag([4.0, 1.0]))
    other = exact(generator, np.array([0.0, 2.0]), np.diag([1.0, 9.0]))
    assert frechet_distance(one, other) == pytest.approx(1 + 4 + (2 - 1) ** 2 + (1 - 3) ** 2)
    # Two dimensions, where tr (S T)^½ = (tr S T + 2 (det S T)^½)^½.
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.4], [-0.4, 0.5]])
    product = first @ second
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * root
    origin = np.zeros(2)
    found = frechet_distance(exact(generator, origin, first), exact(generator, origin, second))
    assert found == pytest.approx(expected)


def test_a_frechet_distance_needs_two_samples_of_the_same_features() -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        frechet_distance(np.ones((1, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="same features"):
        frechet_distance(np.ones((3, 2)), np.ones((4, 3)))
