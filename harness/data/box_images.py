"""Images with boxes on them, decoded a batch at a time and fitted into a square."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.boxes import EDGES, Boxes, padded
from harness.data.base import Batch, Dataset, Split
from harness.data.image_files import DEEP
from harness.errors import DataError

# What detectors of the YOLO family fill the rest of the square with.
GREY = 114


@dataclass(frozen=True)
class BoxImage:
    """An image file and the boxes on it.

    Attributes:
        name: what a report calls it.
        path: the file.
        boxes: float32, shape (boxes, 6), as `harness.boxes` says; edges in pixels of the file, or as shares of
            its width and height.
        shares: whether the edges are shares.
    """

    name: str
    path: Path
    boxes: Boxes
    shares: bool = False


class BoxImages(Split):
    """Labelled image files.

    Args:
        images: the files, in order.
        image_size: side of the square that the model is given, in pixels.
    """

    def __init__(self, images: Sequence[BoxImage], image_size: int) -> None:
        self.images, self.image_size = list(images), image_size
        self._most = max((len(one.boxes) for one in self.images), default=0)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches: inputs float32 of shape (batch, 3, image_size, image_size) in 0…1, targets as boxes are."""
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            fitted = [self.fitted(index) for index in chosen.tolist()]
            pixels = torch.from_numpy(np.stack([image for image, _ in fitted])).permute(0, 3, 1, 2).contiguous()
            yield Batch((pixels.float() / 255,), torch.from_numpy(padded([boxes for _, boxes in fitted], self._most)))

    def fitted(self, index: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Boxes]:
        """An image scaled to fit the square, grey around it, and its boxes in pixels of the square.

        Raises:
            DataError: the file is no image that can be read.
        """
        from PIL import Image, ImageOps

        one = self.images[index]
        try:
            with Image.open(one.path) as file:
                # Upright, as the boxes were drawn and as trainers of detectors read it.
                mode, image = file.mode, ImageOps.exif_transpose(file).convert("RGB")
        except Exception as error:  # Each decoder raises what it pleases.
            raise DataError(f"{one.path} is no readable image: {error}") from error
        if mode.startswith(DEEP):
            raise DataError(f"{one.path} has more than 8 bits a channel ({mode}): convert it to 8 bits first")
        width, height = image.size
        scale = self.image_size / max(width, height)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        if (across, down) != (width, height):
            image = image.resize((across, down), Image.Resampling.BILINEAR)
        left, top = (self.image_size - across) // 2, (self.image_size - down) // 2
        square = np.full((self.image_size, self.image_size, 3), GREY, dtype=np.uint8)
        square[top : top + down, left : left + across] = np.asarray(image)
        boxes = one.boxes.copy()
        scales = (across, down) if one.shares else (across / width, down / height)
        boxes[:, EDGES] = boxes[:, EDGES] * np.array(scales * 2, dtype=np.float32) + np.array((left, top) * 2)
        return square, boxes

    def digests(self) -> Iterator[bytes]:
        """A digest of each file's bytes."""
        for one in self.images:
            with one.path.open("rb") as stream:
                yield hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()

    @property
    def names(self) -> list[str]:
        """Paths below the dataset's directory."""
        return [one.name for one in self.images]


def dataset_of(
    training: Sequence[BoxImage], evaluation: Sequence[BoxImage], image_size: int, *,
    calibration: int, limit: int | None, seed: int, classes: tuple[str, ...],
) -> Dataset:  # fmt: skip
    """The splits of two sets of images: calibrated on some of the training images, evaluated on `limit` of the others.

    Args:
        training: what is trained on.
        evaluation: what is evaluated on.
        image_size: side of the square that the model is given, in pixels.
        calibration: how many of the training images are calibrated on.
        limit: how many of the others are evaluated on; None for all.
        seed: chooses them.
        classes: names in the order of the model's scores.
    """
    return Dataset(
        calibration=BoxImages(spread(training, calibration, seed), image_size),
        evaluation=BoxImages(spread(evaluation, limit, seed), image_size),
        train=BoxImages(training, image_size),
        classes=classes,
    )


def class_order(names: tuple[str, ...], classes: tuple[str, ...] | None, path: str) -> tuple[str, ...]:
    """The classes in the order of the model's scores: as the option says, or as the file names them.

    Raises:
        DataError: the option lacks a name of the file.
    """
    order = classes or names
    strange = [name for name in names if name not in order]
    if strange:
        raise DataError(f"{path}: `classes:` does not list {', '.join(strange)}")
    return order


def spread(images: Sequence[BoxImage], count: int | None, seed: int) -> list[BoxImage]:
    """So many of the images, chosen by a hash of their names, in their own order; all where none is said."""
    if count is None or count >= len(images):
        return list(images)
    keys = [hashlib.sha256(f"{seed} {one.name}".encode()).digest() for one in images]
    return [images[index] for index in sorted(sorted(range(len(images)), key=keys.__getitem__)[:count])]
