"""Twenty labelled ImageNet photos, many crops of each; calibrated on other photos. Nothing is downloaded.

The evaluated photos come with foolbox (J. Rauber et al., "Foolbox Native", JOSS 2020), those for calibration with
scikit-image and scikit-learn. Neither library is imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.data.base import DATA, Batch, Data, Dataset, Split
from harness.errors import DataError, MissingExtra
from harness.extras import installed

if TYPE_CHECKING:
    import torch

SIZE, SHORT_SIDE = 224, 256
PHOTOS = 20
# As EfficientNet-Lite was trained: (pixel - 127) / 128.
MEAN, STANDARD_DEVIATION = 0.498, 0.502
CALIBRATION_PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/brick.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/clock_motion.png",
        "data/coffee.png",
        "data/coins.png",
        "data/grass.png",
        "data/gravel.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/moon.png",
        "data/motorcycle_left.png",
        "data/motorcycle_right.png",
        "data/page.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
# What torch's cross entropy skips: a photo without a label.
UNLABELLED = -100


@DATA.register
class ImageNetSample(Data):
    """Crops of 20 labelled ImageNet photos: too few for a drop of one point, many for agreement with the float model.

    Crops of one photo are one sampling unit.
    """

    source: Literal["imagenet-sample"] = "imagenet-sample"
    crops: int = Field(default=10, ge=1, le=1000, description="crops of each photo; the first is its centre")
    tasks: ClassVar[frozenset[str]] = frozenset({"image-classification"})

    def load(self, root: Path) -> Dataset:
        """Both splits: inputs float32 of shape (samples, 3, 224, 224), targets int64; calibration has no labels."""
        evaluated = _evaluation_photos()
        other = _calibration_photos()
        return Dataset(
            calibration=Crops(
                # One photo after the other, so that any number of samples spreads over all of them.
                [Crop(path, UNLABELLED, 1 + index // len(other)) for index, path in _cycle(other, self.calibration)]
            ),
            evaluation=Crops(
                [Crop(path, label, index) for path, label in evaluated.items() for index in range(self.crops)]
            ),
            classes=tuple(str(index) for index in range(1000)),
        )

    def evaluated(self, root: Path) -> int:
        """The photos, however many crops of each are taken."""
        return PHOTOS

    def fingerprint(self, root: Path) -> str:
        """A hash of the photos' bytes and of the version of the library that decodes and resizes them."""
        digest = hashlib.sha256(installed("pillow").encode())
        for path in (*_evaluation_photos(), *_calibration_photos()):
            digest.update(path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Crop:
    """One sample: a square cut out of a photo.

    Attributes:
        path: the photo.
        label: its ImageNet class.
        index: 0 for the centre of the photo at the usual scale; else where a generator seeded with the photo's name and
            this number puts it, at a scale between the whole short side and 58 % of it, mirrored or not.
    """

    path: Path
    label: int
    index: int

    def pixels(self) -> np.ndarray[Any, Any]:
        """RGB, uint8, of shape (224, 224, 3)."""
        from PIL import Image

        photo = _photo(self.path)
        short = min(photo.size)
        if self.index == 0:
            side, across, down, mirrored = short * SIZE / SHORT_SIDE, 0.5, 0.5, False
        else:
            generator = np.random.default_rng([*self.path.name.encode(), self.index])
            side = short * float(generator.uniform(224 / 384, 1))
            across, down = generator.uniform(size=2)
            mirrored = bool(generator.integers(2))
        left, top = (photo.size[0] - side) * across, (photo.size[1] - side) * down
        square = photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        return np.asarray(square)[:, ::-1] if mirrored else np.asarray(square)


class Crops(Split):
    """Crops that are cut when they are asked for: the photos fit into memory, thousands of crops need not."""

    def __init__(self, crops: Sequence[Crop]) -> None:
        self.crops = list(crops)

    def __len__(self) -> int:
        return len(self.crops)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches: inputs (batch, 3, 224, 224) float32, targets (batch,) int64."""
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            crops = [self.crops[index] for index in chosen.tolist()]
            yield Batch((_standardised(crops),), torch.tensor([crop.label for crop in crops]))

    def digests(self) -> Iterator[bytes]:
        """A digest of each crop's pixels."""
        for crop in self.crops:
            yield hashlib.blake2b(crop.pixels().tobytes(), digest_size=16).digest()

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """The number of each crop's photo."""
        numbers = {path: number for number, path in enumerate(dict.fromkeys(crop.path for crop in self.crops))}
        return np.array([numbers[crop.path] for crop in self.crops])

    @property
    def names(self) -> list[str]:
        """Photo and crop."""
        return [f"{crop.path.stem} crop {crop.index}" for crop in self.crops]


def _standardised(crops: Sequence[Crop]) -> torch.Tensor:
    import torch

    pixels = torch.from_numpy(np.stack([crop.pixels() for crop in crops])).permute(0, 3, 1, 2)
    return ((pixels.float() / 255 - MEAN) / STANDARD_DEVIATION).contiguous()


@cache
def _photo(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")


def _cycle(paths: Sequence[Path], count: int) -> Iterator[tuple[int, Path]]:
    return ((index, paths[index % len(paths)]) for index in range(count))


def _evaluation_photos() -> dict[Path, int]:
    """Path and ImageNet class of each: files are called ``imagenet_NN_CLASS.jpg``."""
    package = importlib.util.find_spec("foolbox")
    if package is None or package.origin is None:
        raise DataError("needs the 20 photos that come with foolbox: pip install --no-deps foolbox==3.3.4")
    photos = sorted((Path(package.origin).parent / "data").glob("imagenet_*.jpg"))
    if len(photos) != PHOTOS:
        raise DataError(
            f"foolbox holds {len(photos)} ImageNet photos where {PHOTOS} are expected: install foolbox==3.3.4"
        )
    return {path: int(path.stem.rpartition("_")[2]) for path in photos}


def _calibration_photos() -> list[Path]:
    photos = []
    for name, files in CALIBRATION_PHOTOS.items():
        package = importlib.util.find_spec(name)
        if package is None or package.origin is None:
            raise MissingExtra(name, "vision")
        photos += [Path(package.origin).parent / file for file in files]
    missing = [path.name for path in photos if not path.is_file()]
    if missing:
        raise DataError(f"calibration photos are missing from scikit-image or scikit-learn: {', '.join(missing)}")
    return photos
