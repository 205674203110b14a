import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
import yaml
from pydantic import ValidationError
from skimage.metrics import structural_similarity
from torch import nn

from harness.errors import Unmeasurable
from harness.forms import Form
from harness.measurement import Generated
from harness.metrics.base import METRICS, Bench
from harness.metrics.features import Features
from harness.metrics.generated import broken
from harness.metrics.manifold import within
from harness.statistics import mean_difference, mean_kernel
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


def test_the_recall_over_several_real_images_a_sample_is_bounded_as_the_share_that_it_is() -> None:
    real = images(2, 24).reshape(12, 2, 1, 16, 16)
    measured = metric("generated_recall", max_drop=0.5).measure(Made(images(0), images(1), real))
    assert set(np.unique([measured.outcomes_reference, measured.outcomes])) <= {0.0, 0.5, 1.0}
    bounded = mean_difference(measured.outcomes_reference, measured.outcomes, measured.units, 0.95, reach=1.0)
    assert measured.drop(0.95) == bounded
    assert not measured.independent
    # One real image a sample is within or is not.
    assert metric("generated_recall", max_drop=0.5).measure(Made(images(0), images(1), real[:, :1])).independent


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


@pytest.mark.parametrize("other", [(12, 1, 8, 8), (12, 3, 16, 16)], ids=["smaller", "of other channels"])
@pytest.mark.parametrize("name", ["kid", "generated_precision", "generated_recall", "psnr", "ssim"])
def test_a_compressed_model_that_makes_images_of_another_shape_is_refused(name: str, other: tuple[int, ...]) -> None:
    """One channel beside three is no error of numpy's: it would be compared with each of them."""
    made, compressed = images(0), np.full(other, 0.5, np.float32)
    asked = metric(name, max_rise=0.1) if name == "kid" else metric(name, min=0.1)
    sentence = f"the compressed model makes images of shape {other[1:]}, and the float model of (1, 16, 16) "
    with pytest.raises(Unmeasurable, match=re.escape(sentence)):
        asked.measure(Made(made, compressed, made[:, None]))


def test_a_layer_that_is_not_there_is_told() -> None:
    with pytest.raises(Unmeasurable, match="no module 'fc9'"):
        Features(layer="fc9").of(images(0), Path())
    with pytest.raises(Unmeasurable, match="images have 2 channels"):
        Features().of(images(0).repeat(2, axis=1), Path())


class Twice(nn.Module):
    """One activation that is called twice, in place, after each of two convolutions, as a residual block has it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3)
        self.relu, self.pair, self.spread, self.spare = nn.ReLU(inplace=True), Pair(), Spread(), nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made = self.relu(self.second(self.relu(self.first(images))))
        return self.spread(self.pair(made)[0])


class Pair(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images, images


class Spread(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(0, 1)


def of_twice(layer: str | None, made: np.ndarray) -> np.ndarray:
    network = Twice().eval()
    with torch.no_grad():
        for one in (network.first, network.second):
            one.weight.fill_(0.1)
            one.bias.fill_(-0.5)
    source = SimpleNamespace(gives=Form.TORCH, load=lambda root: network)
    whole = {name: field.default for name, field in Features.model_fields.items()}
    return Features.model_construct(**{**whole, "model": source, "layer": layer}).of(made, Path())


def test_a_layer_gives_one_row_an_image_as_it_was_before_it_was_written_into() -> None:
    made = images(0, 300)
    found = of_twice("first", made)
    assert found.shape == (300, 2)
    # What the activation writes over is below zero.
    assert found.min() < -0.1
    for layer, sentence in (
        ("relu", r"`features\.layer`: relu is called 2 times a pass, and features are read once an image"),
        ("pair", r"`features\.layer`: pair gives a tuple, and features are read from one tensor"),
        ("spread", r"`features\.layer`: spread gives a tensor of shape \(9, 28, 28\) for 3 images"),
    ):
        with pytest.raises(Unmeasurable, match=sentence):
            of_twice(layer, images(0, 3))


def test_a_layer_that_no_image_passes_gives_no_features() -> None:
    with pytest.raises(Unmeasurable, match=r"`features\.layer`: spare is called 0 times a pass"):
        of_twice("spare", images(0, 3))


def test_the_manuals_recipe_for_photographs_feeds_inception_as_it_was_trained() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "image-generation.md").read_text()
    (recipe,) = (block for block in re.findall(r"```yaml\n(kid:.*?)```", manual, re.DOTALL) if "inception" in block)
    features = Features.model_validate(yaml.safe_load(recipe)["kid"]["features"])
    network = torchvision.models.inception_v3(weights=None, **features.model.options)
    photographs = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in (features.mean, features.std))
    # Shares of full scale as numbers from -1 to 1: what the network's own authors trained it on.
    torch.testing.assert_close(network._transform_input((photographs - mean) / std), 2 * photographs - 1)


def test_the_last_linear_layer_is_read_at_its_input() -> None:
    assert Features().of(images(0, 3), Path()).shape == (3, 84)


def test_broken_images_are_noise_and_blanks() -> None:
    worst = broken(np.zeros((5, 3, 8, 8), dtype=np.float32), each=4)
    assert worst.shape == (7, 3, 8, 8)
    assert [one.min() == one.max() for one in worst] == [False] * 4 + [True] * 3
