"""Data `coco`: your own boxes, as COCO's annotation files hold them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.box_images import BoxImage, class_order, dataset_of
from harness.errors import DataError
from harness.extras import installed
from harness.registry import Options


class AnnotatedImages(Options):
    """An annotation file and the folder of its images."""

    annotations: str = Field(min_length=1, description="the json file with `images`, `annotations` and `categories`")
    images: str = Field(min_length=1, description="the folder that its file names start from")


@DATA.register
class Coco(Data):
    """Images with boxes in COCO's json: ``bbox`` is left, top, width and height in pixels, ``iscrowd`` is heeded.

    Categories in the order of their ids are the model's classes. Images are scaled to fit a square of `image_size` with
    grey around them, and divided by 255; photos are turned upright, as their orientation tag says. `train` is
    calibrated and fine-tuned on.
    """

    source: Literal["coco"] = "coco"
    train: AnnotatedImages = Field(description="what is calibrated and fine-tuned on")
    evaluation: AnnotatedImages = Field(description="what is evaluated on")
    image_size: int = Field(
        default=640, ge=32, multiple_of=32, description="side of the square that the model is given"
    )
    limit: int | None = Field(default=None, ge=1, description="evaluate on so many images only: for quick checks")
    seed: int = Field(default=0, ge=0, description="chooses the calibration images and those within `limit`")
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="names in the order of the model's scores; categories by id if left out"
    )
    tasks: ClassVar[frozenset[str]] = frozenset({"object-detection"})

    def load(self, root: Path) -> Dataset:
        """The splits; images are decoded when a batch asks for them."""
        files = [_read(root / part.annotations) for part in (self.train, self.evaluation)]
        names = [
            tuple(str(one["name"]) for one in sorted(file["categories"], key=lambda one: one["id"])) for file in files
        ]
        if names[0] != names[1]:
            raise DataError(f"{self.train.annotations} and {self.evaluation.annotations} name other categories")
        order = class_order(names[0], self.classes, self.evaluation.annotations)
        training, evaluation = (
            _images(file, root / part.images, root / part.annotations, order)
            for file, part in zip(files, (self.train, self.evaluation), strict=True)
        )
        return dataset_of(
            training, evaluation, self.image_size,
            calibration=self.calibration, limit=self.limit, seed=self.seed, classes=order,
        )  # fmt: skip

    def evaluated(self, root: Path) -> int | None:
        """The images that the file lists, no more than `limit`; None where it cannot be read."""
        try:
            count = len(_read(root / self.evaluation.annotations)["images"])
        except DataError:
            return None
        return count if self.limit is None else min(count, self.limit)

    def fingerprint(self, root: Path) -> str:
        """The bytes of both annotation files and of the images that they list, and the version of the decoder."""
        digest = hashlib.sha256()
        for part in (self.train, self.evaluation):
            path = root / part.annotations
            file = _read(path)
            digest.update(path.read_bytes())
            for name in sorted(str(one["file_name"]) for one in file["images"]):
                place = root / part.images / name
                if not place.is_file():
                    raise DataError(f"{path} lists {name}, which is not in {root / part.images}")
                digest.update(hashlib.sha256(place.read_bytes()).digest())
        return f"pillow {installed('pillow')}, {digest.hexdigest()}"


def _read(path: Path) -> dict[str, Any]:
    """An annotation file.

    Raises:
        DataError: it is not there, or is none.
    """
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no annotations at {path}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as json: {error}") from error
    lacking = [key for key in ("images", "annotations", "categories") if not isinstance(file, dict) or key not in file]
    if lacking:
        raise DataError(f"{path} is no annotation file of COCO: it has no {', '.join(lacking)}")
    if not file["images"]:
        raise DataError(f"{path} lists no images")
    return dict(file)


def _images(file: dict[str, Any], folder: Path, path: Path, order: tuple[str, ...]) -> list[BoxImage]:
    """The images with their boxes, in the order of their ids.

    Raises:
        DataError: an annotation of an image or category that is not listed, or an image that is not there.
    """
    try:
        places = {one["id"]: order.index(str(one["name"])) for one in file["categories"]}
        rows: dict[Any, list[tuple[float, ...]]] = {one["id"]: [] for one in file["images"]}
        for one in file["annotations"]:
            left, top, width, height = one["bbox"]
            edges = left, top, left + width, top + height
            rows[one["image_id"]].append((places[one["category_id"]], *edges, int(one.get("iscrowd", 0))))
        listed = sorted(file["images"], key=lambda one: one["id"])
        found = [
            BoxImage(str(one["file_name"]), folder / str(one["file_name"]),
                     np.array(rows[one["id"]], dtype=np.float32).reshape(-1, 6))
            for one in listed
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is malformed: {type(error).__name__}: {error}") from error
    missing = next((one for one in found if not one.path.is_file()), None)
    if missing is not None:
        raise DataError(f"{path} lists {missing.name}, which is not in {folder}")
    return found
