"""Digit scenes: MNIST's handwritten digits pasted on photographs, for object detection with no download of its own.

``python -m harness.data.digit_scenes`` writes them as a YOLO dataset, for trainers that read one.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.boxes import padded
from harness.data import mnist_files
from harness.data.base import DATA, Batch, Data, Dataset, Split
from harness.data.scene import DIGITS, SIZE, Pasting, Scene
from harness.errors import DataError, MissingExtra, WeighinError
from harness.extras import installed

if TYPE_CHECKING:
    from harness.boxes import Boxes
    from harness.data.scene import Pixels

CLASSES = tuple("0123456789")


@DATA.register
class DigitScenes(Data):
    """Photographs of 128x128 pixels with two to six handwritten digits on each: ten classes of boxes.

    The digits are MNIST's, 20 to 50 pixels high, turned, in inks that stand out, partly over each other and partly
    covered; the photographs come with scikit-image and scikit-learn. No digit and no photograph serves both for
    training and for evaluation, and no digit is shown twice. A scene is one sampling unit: verdicts speak of scenes
    that are made as these are.
    """

    source: Literal["digit-scenes"] = "digit-scenes"
    calibration: int = Field(default=128, ge=1, le=8_000, description="calibration scenes, from the training split")
    train: int = Field(default=4_000, ge=1, le=8_000, description="scenes to train on")
    evaluation: int = Field(default=500, ge=1, le=1_400, description="scenes to evaluate on")
    root: str | None = Field(default=None, description="folder of MNIST's four idx files, where they are kept by hand")
    tasks: ClassVar[frozenset[str]] = frozenset({"object-detection"})
    unseen: ClassVar[frozenset[str]] = Data.unseen | {"train"}

    def load(self, root: Path) -> Dataset:
        """Both splits: inputs float32 of shape (scenes, 3, 128, 128) in 0…1; targets as `harness.boxes` says."""
        train, evaluation = self.pastings(root)
        return Dataset(
            calibration=Scenes(train, self.calibration),
            evaluation=Scenes(evaluation, self.evaluation),
            train=Scenes(train, self.train),
            classes=CLASSES,
        )

    def pastings(self, root: Path) -> tuple[Pasting, Pasting]:
        """What training and what evaluation scenes are made of."""
        files = mnist_files.files([root / self.root] if self.root else [])
        made = []
        for number, (split, photos) in enumerate(PHOTOS.items()):
            images, labels = (
                np.frombuffer(files[f"{split}-{kind}-ubyte"], dtype=np.uint8)[header:]
                for kind, header in (("images-idx3", 16), ("labels-idx1", 8))
            )
            made.append(Pasting(images.reshape(-1, 28, 28), labels, tuple(_photo(one) for one in photos), number))
        return made[0], made[1]

    def evaluated(self, root: Path) -> int:
        """The scenes that are set aside."""
        return self.evaluation

    def fingerprint(self, root: Path) -> str:
        """Checksums of the digits, bytes of the photographs, and the library that turns and resizes them."""
        digest = hashlib.sha256("".join(mnist_files.CHECKSUMS.values()).encode())
        for photos in PHOTOS.values():
            for photo in photos:
                digest.update(_photo(photo).read_bytes())
        return f"pillow {installed('pillow')}, {digest.hexdigest()}"


# MNIST's own splits, and photographs of which no two show the same. None with print or a dial on it.
PHOTOS: dict[str, tuple[str, ...]] = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/brick.png",
        "skimage/data/chelsea.png",
        "skimage/data/gravel.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/moon.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/retina.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "t10k": (
        "skimage/data/camera.png",
        "skimage/data/coffee.png",
        "skimage/data/grass.png",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/flower.jpg",
    ),
}


class Scenes(Split):
    """Scenes that are painted when they are asked for."""

    def __init__(self, pasting: Pasting, count: int) -> None:
        self.pasting, self._count = pasting, count

    def __len__(self) -> int:
        return self._count

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches: inputs (batch, 3, 128, 128) float32 in 0…1, targets (batch, 6, 6) float32."""
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            painted = [self.painted(index) for index in chosen.tolist()]
            pixels = torch.from_numpy(np.stack([image for image, _ in painted])).permute(0, 3, 1, 2).contiguous()
            yield Batch((pixels.float() / 255,), torch.from_numpy(padded([boxes for _, boxes in painted], DIGITS)))

    def painted(self, index: int) -> tuple[Pixels, Boxes]:
        """The pixels of one scene, uint8 of shape (128, 128, 3), and its boxes, float32 of shape (digits, 6)."""
        return self.pasting.paint(Scene.drawn(index, self.pasting))

    def digests(self) -> Iterator[bytes]:
        """A digest of what decides each scene: its photograph and crop, its digits and where they lie."""
        for index in range(len(self)):
            yield hashlib.blake2b(repr(Scene.drawn(index, self.pasting)).encode(), digest_size=16).digest()

    @property
    def names(self) -> list[str]:
        """The number of each scene."""
        return [f"scene {index}" for index in range(len(self))]


def write(data: DigitScenes, folder: Path, root: Path) -> Path:
    """Write the scenes as a YOLO dataset, once: what lies there whole is left as it is.

    Returns:
        The dataset's yaml.
    """
    from PIL import Image

    described = folder / "data.yaml"
    if described.is_file():
        return described
    loaded = data.load(root)
    for name, split in (("train", loaded.train), ("val", loaded.evaluation)):
        assert isinstance(split, Scenes)
        images, labels = (folder / kind / name for kind in ("images", "labels"))
        for place in (images, labels):
            place.mkdir(parents=True, exist_ok=True)
        for index in range(len(split)):
            pixels, boxes = split.painted(index)
            Image.fromarray(pixels).save(images / f"{index:05}.png", compress_level=1)
            (labels / f"{index:05}.txt").write_text("".join(f"{line}\n" for line in _lines(boxes)))
    names = "".join(f"  {number}: '{name}'\n" for number, name in enumerate(CLASSES))
    described.write_text(f"path: {folder.resolve()}\ntrain: images/train\nval: images/val\nnames:\n{names}")
    return described


def _lines(boxes: Boxes) -> Iterator[str]:
    """A YOLO label a box: class, centre and size as shares of the image."""
    for label, left, top, right, bottom, _ in boxes.astype(float):
        centre = (left + right) / 2 / SIZE, (top + bottom) / 2 / SIZE
        yield f"{label:.0f} {centre[0]:.6f} {centre[1]:.6f} {(right - left) / SIZE:.6f} {(bottom - top) / SIZE:.6f}"


def _photo(path: str) -> Path:
    """A file that an installed package carries.

    Raises:
        MissingExtra: the package is not installed.
        DataError: it carries no such file.
    """
    import importlib.util

    package, _, inside = path.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingExtra(package, "vision")
    place = Path(found.origin).parent / inside
    if not place.is_file():
        raise DataError(f"the photograph {path} is missing from the installed package: another version of it has it")
    return place


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the dataset and print where it is; 1 where it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m harness.data.digit_scenes", description=__doc__)
    parser.add_argument("--output", type=Path, help="a folder; below the user's cache if left out")
    folder = parser.parse_args(arguments).output or mnist_files.cache().parent / "digit-scenes"
    try:
        sys.stdout.write(f"the digit scenes are in {write(DigitScenes(), folder, Path.cwd())}\n")
    except WeighinError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
