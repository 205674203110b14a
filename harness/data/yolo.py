"""Data `yolo`: your own boxes, as trainers of the YOLO family read them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import yaml
from pydantic import Field

from harness.boxes import Boxes
from harness.data.base import DATA, Data, Dataset
from harness.data.box_images import BoxImage, class_order, dataset_of
from harness.data.folder import SUFFIXES
from harness.data.walk import files_below
from harness.errors import DataError
from harness.extras import installed


@DATA.register
class Yolo(Data):
    """A dataset yaml with `train`, `val` (and `test`) and `names`, and a text file of boxes beside each image.

    A split is a folder of images, a text file that lists images, or a list of such. The boxes of ``…/images/a.png`` are
    in ``…/labels/a.txt``: a line a box, class, centre and size as shares of the image; no file or an empty one is an
    image with nothing on it. Images are scaled to fit a square of `image_size` with grey around them, and divided by
    255; photos are turned upright, as their orientation tag says. `train` is calibrated and fine-tuned on. Nothing is
    downloaded.
    """

    source: Literal["yolo"] = "yolo"
    path: str = Field(min_length=1, description="the dataset's yaml")
    image_size: int = Field(
        default=640, ge=32, multiple_of=32, description="side of the square that the model is given"
    )
    evaluation: Literal["val", "test"] = Field(default="val", description="which split is evaluated on")
    limit: int | None = Field(default=None, ge=1, description="evaluate on so many images only: for quick checks")
    seed: int = Field(default=0, ge=0, description="chooses the calibration images and those within `limit`")
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="names in the order of the model's scores; the yaml's `names` if left out"
    )
    tasks: ClassVar[frozenset[str]] = frozenset({"object-detection"})

    def load(self, root: Path) -> Dataset:
        """The splits; images are decoded when a batch asks for them."""
        described = self._described(root)
        names = _names(described, root / self.path)
        order = class_order(names, self.classes, self.path)
        places = np.array([order.index(name) for name in names])
        training, evaluation = (
            [_labelled(path, base, places) for base, path in self._images(root, described, split)]
            for split in ("train", self.evaluation)
        )
        return dataset_of(
            training, evaluation, self.image_size,
            calibration=self.calibration, limit=self.limit, seed=self.seed, classes=order,
        )  # fmt: skip

    def evaluated(self, root: Path) -> int | None:
        """The images of the split, no more than `limit`; None where it cannot be read."""
        try:
            count = len(self._images(root, self._described(root), self.evaluation))
        except (DataError, OSError):
            return None
        return count if self.limit is None else min(count, self.limit)

    def fingerprint(self, root: Path) -> str:
        """The yaml, the names and bytes of each split's images and of their boxes, and the version of the decoder."""
        described = self._described(root)
        digest = hashlib.sha256((root / self.path).read_bytes())
        for role, split in (("train", "train"), ("evaluation", self.evaluation)):
            digest.update(role.encode() + b"\0")
            for base, path in self._images(root, described, split):
                digest.update(path.relative_to(base).as_posix().encode() + b"\0" if path.is_relative_to(base) else b"")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
                boxes = _beside(path)
                digest.update(boxes.read_bytes() if boxes.is_file() else b"\0")
        return f"pillow {installed('pillow')}, {digest.hexdigest()}"

    def _described(self, root: Path) -> dict[str, Any]:
        path = root / self.path
        try:
            described = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"no dataset yaml at {path}") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(f"{path} cannot be read as a dataset yaml: {error}") from error
        if not isinstance(described, dict) or "names" not in described:
            raise DataError(f"{path} is no dataset yaml: it needs `names`, `train` and `{self.evaluation}`")
        return described

    def _images(self, root: Path, described: dict[str, Any], split: str) -> list[tuple[Path, Path]]:
        """The folder that names start from, and the file, of every image of a split."""
        own = root / self.path
        base = own.parent / str(described.get("path") or "")
        entries = described.get(split)
        if not entries:
            raise DataError(f"{own} has no `{split}`: a folder of images, or a list of them")
        found: list[Path] = []
        for entry in entries if isinstance(entries, list) else [entries]:
            place = base / str(entry)
            if place.is_dir():
                found += [one for one in files_below(place) if one.suffix.lower() in SUFFIXES]
            elif place.is_file() and place.suffix == ".txt":
                lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
                # As its trainers read it: what begins with ./ lies beside the list.
                found += [place.parent / line[2:] if line.startswith("./") else base / line for line in lines]
            else:
                hint = " (weighin does not run its `download`)" if described.get("download") else ""
                raise DataError(f"{own}: the `{split}` images are not at {place}{hint}")
        missing = next((one for one in found if not one.is_file()), None)
        if missing is not None:
            raise DataError(f"{own}: `{split}` lists {missing}, which is not there")
        if not found:
            raise DataError(f"{own}: `{split}` holds no images ({', '.join(SUFFIXES)})")
        return [(base, one) for one in found]


def _names(described: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = described["names"]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{path}: `names` must number the classes from 0 without a gap")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: `names` must list the classes")
    return tuple(str(name) for name in names)


def _beside(image: Path) -> Path:
    """Where the boxes of an image are: the last ``images`` of its path is ``labels``."""
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, f"{image.stem}.txt")


def _labelled(path: Path, base: Path, places: np.ndarray[Any, Any]) -> BoxImage:
    """An image with its boxes.

    Raises:
        DataError: a line of its file is no box.
    """
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    beside, rows = _beside(path), []
    lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label, across, down, width, height = (float(cell) for cell in line.split())
        except ValueError:
            raise DataError(
                f"{beside}:{number}: a box is five numbers (class, centre, size), not {line[:60]!r}"
            ) from None
        if not label.is_integer() or not 0 <= label < len(places):
            raise DataError(f"{beside}:{number}: class {line.split()[0]}, and the yaml names {len(places)}")
        if not (0 <= across <= 1 and 0 <= down <= 1 and 0 < width <= 1 and 0 < height <= 1):
            raise DataError(f"{beside}:{number}: centre and size are shares of the image, in 0…1, not {line[:60]!r}")
        rows.append(
            (places[int(label)], across - width / 2, down - height / 2, across + width / 2, down + height / 2, 0)
        )
    boxes: Boxes = np.array(rows, dtype=np.float32).reshape(-1, 6)
    return BoxImage(name, path, boxes, shares=True)
