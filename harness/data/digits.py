"""scikit-learn's handwritten digits: 1,797 real 8x8 images in ten classes, with no download.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.data.base import DATA, Data, Dataset, TensorSplit
from harness.errors import MissingExtra

EVALUATED = 797
# Mean and standard deviation of all pixels, scaled to [0, 1].
MEAN, STANDARD_DEVIATION = 0.3053, 0.3760


@DATA.register
class Digits(Data):
    """1,797 handwritten digits: 797 to evaluate on, 1,000 to train and calibrate on; comes with scikit-learn."""

    source: Literal["digits"] = "digits"
    calibration: int = Field(
        default=128, ge=1, le=1_000, description="calibration samples, taken from the training split"
    )
    image_size: int = Field(default=32, ge=8, le=256, description="pixels a side; the 8x8 images are enlarged to it")
    channels: Literal[1, 3] = Field(default=1, description="3 repeats the grey channel for models that take colour")
    tasks: ClassVar[frozenset[str]] = frozenset({"image-classification"})

    def load(self, root: Path) -> Dataset:
        """Both splits, standardised: inputs float32 of shape (samples, channels, size, size), targets int64."""
        import torch
        from torch.nn.functional import interpolate

        # The file itself, as scikit-learn's own loader reads it: importing scikit-learn costs every worker a second.
        table = np.loadtxt(_archive(), delimiter=",", dtype=np.int64)
        pixels, labels = table[:, :-1], table[:, -1]
        training, evaluation = _split(pixels.astype(np.uint8), labels, EVALUATED)
        images = torch.from_numpy(pixels.astype(np.float32) / 16).reshape(-1, 1, 8, 8)
        images = interpolate(images, size=self.image_size, mode="bilinear", antialias=True)
        images = ((images - MEAN) / STANDARD_DEVIATION).expand(-1, self.channels, -1, -1)
        targets = torch.from_numpy(labels.astype(np.int64))

        def split(chosen: np.ndarray[Any, Any]) -> TensorSplit:
            names = [f"digit {index}" for index in chosen]
            return TensorSplit(images[chosen].contiguous(), targets[chosen], names=names)

        return Dataset(
            calibration=split(training[: self.calibration]),
            evaluation=split(evaluation),
            train=split(training),
            classes=tuple("0123456789"),
        )

    def evaluated(self, root: Path) -> int:
        """The images that are set aside."""
        return EVALUATED

    def fingerprint(self, root: Path) -> str:
        """The sha256 of the file inside scikit-learn that holds the images."""
        return hashlib.sha256(_archive().read_bytes()).hexdigest()


def _archive() -> Path:
    """The file inside scikit-learn that holds the images.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise MissingExtra("scikit-learn", "vision")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _split(
    pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], evaluated: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Indices to train on and to evaluate on, each class in its share.

    Images are put in the order of a hash of their content. Unlike a seeded shuffle, that order is the same under every
    version of every library: what a shipped checkpoint was trained on can never slip into the evaluation split.
    No two of the images are equal. A second hash mixes the classes of each split.
    """
    order = _shuffled(pixels, np.arange(len(labels)), b"split")
    quotas = _quotas(np.bincount(labels), evaluated)
    held_out = np.concatenate([order[labels[order] == label][:quota] for label, quota in enumerate(quotas)])
    rest = np.setdiff1d(order, held_out)
    return _shuffled(pixels, rest, b"order"), _shuffled(pixels, held_out, b"order")


def _shuffled(pixels: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any], salt: bytes) -> np.ndarray[Any, Any]:
    return np.array(sorted(chosen, key=lambda index: hashlib.sha256(salt + pixels[index].tobytes()).digest()))


def _quotas(counts: np.ndarray[Any, Any], total: int) -> np.ndarray[Any, Any]:
    """How many of each class to take: proportional to its count, rounded by largest remainder to the total."""
    exact = counts * total / counts.sum()
    quotas: np.ndarray[Any, Any] = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")[: total - quotas.sum()]
    quotas[largest] += 1
    return quotas
