"""Image files as model inputs: decoded a batch at a time, so that any number of them fits in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.base import Batch, Split
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

DEEP = ("I", "F")  # Pillow's modes of more than 8 bits a channel; it clips them to white when asked for RGB.


@dataclass(frozen=True)
class Preprocessing:
    """What torchvision's Resize, CenterCrop, ToTensor and Normalize do to an image, bit for bit.

    Attributes:
        resize: length of the shorter side after resizing; the aspect is kept.
        crop: side of the square that is cut from the centre, at most `resize`.
        filter: Pillow's name of the resampling filter.
        mean, std: of red, green and blue, as shares of full scale.
    """

    resize: int
    crop: int
    filter: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, path: Path) -> np.ndarray[Any, Any]:
        """The crop of one image: uint8, shape (crop, crop, 3).

        Raises:
            DataError: the file is no image that can be read, or one of more than 8 bits a channel.
        """
        from PIL import Image

        try:
            with Image.open(path) as file:
                mode, image = file.mode, file.convert("RGB")
        except Exception as error:  # Each decoder raises what it pleases.
            raise DataError(f"{path} is no readable image: {error}") from error
        if mode.startswith(DEEP):
            raise DataError(f"{path} has more than 8 bits a channel ({mode}): convert it to 8 bits first")
        shorter, (width, height) = min(image.size), image.size
        if shorter != self.resize:
            # The longer side is rounded down, the crop's corner to even.
            width, height = (int(self.resize * side / shorter) for side in (width, height))
            image = image.resize((width, height), Image.Resampling[self.filter.upper()])
        left, top = (round((side - self.crop) / 2) for side in (width, height))
        return np.asarray(image.crop((left, top, left + self.crop, top + self.crop)))

    def inputs(self, paths: list[Path]) -> torch.Tensor:
        """Normalized images: float32, shape (len(paths), 3, crop, crop)."""
        import torch

        stacked = torch.from_numpy(np.stack([self.pixels(path) for path in paths])).permute(0, 3, 1, 2).contiguous()
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (self.mean, self.std))
        return stacked.to(torch.float32).div_(255).sub_(mean).div_(std)


class ImageFiles(Split):
    """Labelled image files.

    Args:
        root: what the names are relative to.
        names: one a file, with forward slashes.
        labels: the class of each, int64, shape (files,).
        preprocessing: how a file becomes an input.
    """

    def __init__(
        self, root: Path, names: list[str], labels: np.ndarray[Any, Any], preprocessing: Preprocessing
    ) -> None:
        self.root, self.labels, self.preprocessing = root, labels, preprocessing
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches; each is decoded when it is asked for."""
        import torch

        order = self.order(shuffle)
        for start in range(0, len(self), size):
            chosen = order[start : start + size].tolist()
            paths = [self.root / self._names[index] for index in chosen]
            yield Batch((self.preprocessing.inputs(paths),), torch.from_numpy(self.labels[chosen]))

    def digests(self) -> Iterator[bytes]:
        """A digest of each file's bytes: a copy is found under any name, the same picture saved anew is not."""
        for name in self._names:
            with (self.root / name).open("rb") as stream:
                yield hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()

    @property
    def names(self) -> list[str]:
        """Paths below the dataset's directory."""
        return self._names
