"""MNIST, all of it: 60,000 images to train on and 10,000 to evaluate on.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998. ``python -m harness.data.mnist`` puts
the files where every project finds them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.data import mnist_files
from harness.data.base import DATA, Batch, Data, Dataset, TensorSplit
from harness.errors import DataError

# Mean and standard deviation of the training pixels, scaled to [0, 1].
MEAN, STANDARD_DEVIATION = 0.1307, 0.3081
EVALUATED = 10_000


@DATA.register
class Mnist(Data):
    """MNIST: 10,000 images to evaluate on, which prove a drop of a few tenths of a point, and 60,000 to train on."""

    source: Literal["mnist"] = "mnist"
    calibration: int = Field(
        default=128, ge=1, le=60_000, description="calibration samples, taken from the training split"
    )
    root: str | None = Field(default=None, description="folder of the four idx files, where they are kept by hand")
    image_size: Literal[28, 32] = Field(default=28, description="32 pads the 28x28 images with two black pixels a side")
    tasks: ClassVar[frozenset[str]] = frozenset({"image-classification"})

    def load(self, root: Path) -> Dataset:
        """Both splits, standardised: inputs float32 of shape (samples, 1, size, size), targets int64."""
        files = mnist_files.files([root / self.root] if self.root else [])
        train = _split(files["train-images-idx3-ubyte"], files["train-labels-idx1-ubyte"], self.image_size)
        return Dataset(
            calibration=_Bytes(train.inputs[: self.calibration], train.targets[: self.calibration]),
            evaluation=_split(files["t10k-images-idx3-ubyte"], files["t10k-labels-idx1-ubyte"], self.image_size),
            train=train,
            classes=tuple("0123456789"),
        )

    def evaluated(self, root: Path) -> int:
        """MNIST's test images."""
        return EVALUATED

    def fingerprint(self, root: Path) -> str:
        """A hash of the files' checksums: no file but these is ever taken, wherever they lie."""
        return hashlib.sha256("".join(mnist_files.CHECKSUMS.values()).encode()).hexdigest()


class _Bytes(TensorSplit):
    """Images held as bytes and standardised a batch at a time: a quarter of the memory."""

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        for batch in super().batches(size, shuffle):
            yield Batch(((batch.inputs[0].float() / 255 - MEAN) / STANDARD_DEVIATION,), batch.targets)


def _split(images: bytes, labels: bytes, image_size: int) -> _Bytes:
    """The samples of an image and a label file; their headers are fixed, as their checksums are."""
    import torch
    from torch.nn.functional import pad

    pixels = torch.frombuffer(bytearray(images), dtype=torch.uint8, offset=16).view(-1, 1, 28, 28)
    targets = torch.from_numpy(np.frombuffer(labels, dtype=np.uint8, offset=8).astype(np.int64))
    return _Bytes(pad(pixels, [(image_size - 28) // 2] * 4), targets)


def main() -> int:
    """Fetch what is not in the cache, and print where it is; 1 where it cannot be had."""
    try:
        if mnist_files.cached() is None:
            mnist_files.fetch(mnist_files.COMMAND_PATIENCE, say=lambda line: sys.stderr.write(f"{line}\n"))
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"MNIST is in {mnist_files.cache()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
