"""The digits: which images are in which split, and how they are prepared."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from harness.data.base import Dataset, Split
from harness.data.digits import Digits

ROOT = Path()


def images(split: Split | None) -> np.ndarray:
    assert split is not None
    return next(split.batches(len(split))).inputs[0].numpy()


def labels(split: Split | None) -> np.ndarray:
    assert split is not None
    return next(split.batches(len(split))).targets.numpy()


@pytest.fixture(scope="module")
def raw() -> Dataset:
    """At 8 pixels nothing is resized, so that every image can be traced back."""
    return Digits(image_size=8).load(ROOT)


def test_the_two_splits_are_all_of_the_digits_each_once(raw: Dataset) -> None:
    pixels = load_digits().data.reshape(-1, 1, 8, 8).astype(np.float32)
    expected = sorted(((pixels / 16 - 0.3053) / 0.3760).round(4).tolist())
    both = np.concatenate([images(raw.train), images(raw.evaluation)])
    assert (len(raw.train or ()), len(raw.evaluation or ())) == (1000, 797)
    np.testing.assert_allclose(sorted(both.round(4).tolist()), expected, atol=2e-4)
    assert len({image.tobytes() for image in both}) == 1797


def test_every_class_is_held_out_in_its_share(raw: Dataset) -> None:
    counts = np.bincount(load_digits().target)
    held_out = np.bincount(labels(raw.evaluation))
    assert np.abs(held_out - counts * 797 / 1797).max() < 1


def test_labels_stay_with_their_images(raw: Dataset) -> None:
    pixels, truth = load_digits(return_X_y=True)
    known = {image.astype(np.uint8).tobytes(): label for image, label in zip(pixels, truth, strict=True)}
    evaluated = (images(raw.evaluation) * 0.3760 + 0.3053) * 16
    found = [known[image.round().astype(np.uint8).tobytes()] for image in evaluated]
    assert found == labels(raw.evaluation).tolist()


def test_the_split_never_moves(raw: Dataset) -> None:
    """The shipped checkpoints were trained on it: if it moved, they would be evaluated on what they learnt."""
    assert raw.evaluation is not None
    names = " ".join(raw.evaluation.names)
    assert hashlib.sha256(names.encode()).hexdigest() == (
        "a2b0d7acc57f0e9ab7834fd0bb7083baf5347f2357de073b0eb327f36b56a4e3"
    )


def test_the_splits_do_not_overlap_and_calibration_is_the_start_of_training() -> None:
    dataset = Digits(calibration=37).load(ROOT).checked()
    assert images(dataset.calibration).shape == (37, 1, 32, 32)
    np.testing.assert_array_equal(images(dataset.calibration), images(dataset.train)[:37])
    assert len(set(labels(dataset.calibration))) == 10


def test_pixels_are_standardised(raw: Dataset) -> None:
    both = np.concatenate([images(raw.train), images(raw.evaluation)]).astype(np.float64)
    assert both.dtype == np.float64
    assert both.mean() == pytest.approx(0, abs=1e-3)
    assert both.std() == pytest.approx(1, abs=1e-3)


def test_enlarging_is_bilinear_between_pixel_centres(raw: Dataset) -> None:
    small, large = images(raw.evaluation)[:20, 0], images(Digits().load(ROOT).evaluation)[:20, 0]
    centres = (np.arange(32) + 0.5) / 4 - 0.5
    grid = np.meshgrid(centres, centres, indexing="ij")
    expected = [map_coordinates(image, grid, order=1, mode="nearest") for image in small]
    np.testing.assert_allclose(large, expected, atol=1e-5)


def test_three_channels_repeat_the_grey_one() -> None:
    grey, colour = images(Digits().load(ROOT).evaluation), images(Digits(channels=3).load(ROOT).evaluation)
    assert colour.shape == (797, 3, 32, 32)
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=1))


@pytest.mark.parametrize(
    "options", [{"image_size": 4}, {"image_size": 32.0}, {"channels": 2}, {"size": 32}, {"calibration": 1001}]
)
def test_options_are_closed_and_strict(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Digits(**options)  # type: ignore[arg-type]


def test_the_fingerprint_is_the_data_file_and_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from pathlib import Path; from harness.data.digits import Digits; "
        "print(Digits().fingerprint(Path())); assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    import sklearn

    archive = Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz"
    assert answer.stdout.strip() == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_loading_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    Digits().load(ROOT)
    assert torch.equal(before, torch.get_rng_state())
