from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.metrics import structural_similarity

from harness.errors import Unmeasurable
from harness.measurement import Generated
from harness.metrics.base import METRICS, Bench
from harness.metrics.features import Features
from harness.metrics.generated import broken
from harness.metrics.manifold import within
from harness.statistics import mean_kernel
from harness.statistics.kernel_distance import ImageSet, distance
from harness.tasks.base import Evaluation


class Made(Bench):
    """Images at hand, of both models."""

    def __init__(self, reference: np.ndarray, compressed: np.ndarray, real: np.ndarray) -> None:
        names = [str(index) for index in range(len(reference))]
        self.found = Evaluation(
            {"image": reference.astype(np.float32)}, {"image": compressed.astype(np.float32)},
            real.astype(np.float32), np.arange(len(reference)), names, "data",
        )  # fmt: skip

    def evaluation(self) -> Evaluation:
        return self.found

    def working(self) -> AbstractContextManager[object]:
        self.held += 1
        return nullcontext()

    held = 0

    def timings(self, batch, limits, *, rate=False, whole=False):  # type: ignore[no-untyped-def]
        raise AssertionError


def images(seed: int, count: int = 12, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, size, size)).astype(np.float32)


def metric(name: str, **options: object):  # type: ignore[no-untyped-def]
    return METRICS[name].model_validate({"metric": name, **options})


def test_the_peak_signal_to_noise_ratio_in_closed_form() -> None:
    reference = np.full((3, 1, 8, 8), 0.5)
    compressed = reference.copy()
    compressed[0] += 0.1
    compressed[1] += np.where(np.arange(64).reshape(8, 8) % 2, 0.01, -0.01)
    measured = metric("psnr", min=20).measure(Made(reference, compressed, reference[:, None]))
    # Off by 0.1 of full scale everywhere: 20 dB; by 0.01: 40 dB; equal: the most there is.
    assert measured.outcomes == pytest.approx([20.0, 40.0, 100.0], abs=1e-4)
    assert measured.value == pytest.approx(160 / 3, abs=1e-4)


def test_the_structural_similarity_of_each_image_is_that_of_scikit_image() -> None:
    reference = images(0)
    compressed = np.clip(reference + 0.1 * images(1), 0, 1)
    measured = metric("ssim", min=0.5).measure(Made(reference, compressed, reference[:, None]))
    expected = [structural_similarity(a[0], b[0], data_range=1.0) for a, b in zip(reference, compressed, strict=True)]
    assert measured.outcomes == pytest.approx(expected, rel=1e-5)
    small = images(2, size=6)
    with pytest.raises(Unmeasurable, match="no window of 7x7"):
        metric("ssim", min=0.5).measure(Made(small, small, small[:, None]))


def test_points_are_within_where_they_lie_in_a_ball_of_the_others() -> None:
    # On a line: neighbours of rank 1 are 1, 1, 1, 7 away, of rank 2 are 2, 1, 2, 8 away.
    others = np.array([[0.0], [1.0], [2.0], [9.0]])
    points = np.array([[-0.9], [-1.1], [3.0], [3.5], [2.1], [16.5], [-8.0]])
    assert within(points, others, k=1).tolist() == [True, False, True, True, True, False, False]
    assert within(points, others, k=2).tolist() == [True, True, True, True, True, True, False]
    with pytest.raises(Unmeasurable, match="no neighbour of rank 4"):
        within(points, others, k=4)


def test_the_kernel_distance_is_that_of_the_features_and_the_real_images_share_its_unit() -> None:
    reference, compressed, real = images(0), images(1), images(2, 24)
    bench = Made(reference, compressed, real.reshape(12, 2, 1, 16, 16))
    measured = metric("kid", max_rise=0.1).measure(bench)
    assert isinstance(measured, Generated)
    sides = [Features().of(each, Path()).astype(np.float64) for each in (compressed, reference, real)]
    unit = np.sqrt((sides[2] ** 2).mean())
    made, before, held = (each / unit for each in sides)
    crossed = ((made @ held.T / made.shape[1] + 1) ** 3).mean(axis=1)
    expected = distance(ImageSet(made, crossed), mean_kernel(held))
    assert measured.value == pytest.approx(expected, rel=2e-3)
    plain = metric("kid", max_rise=0.1, features={"scale": "none"}).measure(bench)
    assert plain.value != pytest.approx(measured.value, rel=0.1)
    assert np.abs(before).max() > 0
    assert set(measured.details) == {"fid", "fid_reference"}
    # Features are made where no latency is measured meanwhile: once for each of the two figures.
    assert bench.held == 2


def test_a_distance_survives_its_baseline_and_compares_with_no_other_noise() -> None:
    reference, real = images(0), images(2)
    measured = metric("kid", max_rise=0.1).measure(Made(reference, images(1), real[:, None]))
    again = Generated.model_validate_json(measured.model_dump_json())
    assert again.value == measured.value
    against = measured.against(again)
    assert against is not None
    assert against.reference == pytest.approx(measured.value)
    assert measured.against(again.model_copy(update={"data": "other"})) is None
    assert sorted([*measured.lost, *measured.won]) == list(range(12))


def test_a_broken_generator_raises_the_distance_provably() -> None:
    real = Features()
    assert real.scale == "real"
    held = images(5, 40)
    measured = metric("kid", max_rise=0.1).measure(Made(held, np.zeros_like(held), held[:, None]))
    assert -measured.drop(0.95).upper > 0


def test_a_frechet_distance_bounds_nothing() -> None:
    for bound in ({"max": 10}, {"max_rise": 1}, {"max_ratio": 1.1}):
        with pytest.raises(ValidationError, match="bound `kid`, which is unbiased"):
            metric("fid", **bound)


def test_images_of_another_shape_than_the_real_ones_are_refused() -> None:
    made, real = images(0), images(1, size=8)
    with pytest.raises(Unmeasurable, match=r"makes images of shape \(1, 16, 16\), and the real ones have \(1, 8, 8\)"):
        metric("kid", max_rise=0.1).measure(Made(made, made, real[:, None]))


def test_a_layer_that_is_not_there_is_told() -> None:
    with pytest.raises(Unmeasurable, match="no module 'fc9'"):
        Features(layer="fc9").of(images(0), Path())
    with pytest.raises(Unmeasurable, match="images have 2 channels"):
        Features().of(images(0).repeat(2, axis=1), Path())


def test_the_last_linear_layer_is_read_at_its_input() -> None:
    assert Features().of(images(0, 3), Path()).shape == (3, 84)


def test_broken_images_are_noise_and_blanks() -> None:
    worst = broken(np.zeros((5, 3, 8, 8), dtype=np.float32), each=4)
    assert worst.shape == (7, 3, 8, 8)
    assert [one.min() == one.max() for one in worst] == [False] * 4 + [True] * 3
