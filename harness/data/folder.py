"""Data `folder`: your own labelled images, one directory a class."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.data.base import DATA, Data, Dataset
from harness.data.image_files import ImageFiles, Preprocessing
from harness.data.walk import files_below
from harness.errors import DataError
from harness.extras import installed
from harness.registry import Options

# What torchvision's ImageFolder takes.
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Which directories can serve as a split; the first that is there does.
PLACES = {"train": ("train",), "calibration": ("calibration", "train"), "evaluation": ("evaluation", "test", "val")}

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0)]
# Class name → names of its files below the dataset's directory, sorted.
Listing = dict[str, list[str]]


class Normalize(Options):
    """Statistics of red, green and blue, as shares of full scale. ImageNet's unless a spec says otherwise."""

    mean: Annotated[tuple[Share, Share, Share], Field(strict=False)] = Field(
        default=(0.485, 0.456, 0.406), description="subtracted from red, green and blue"
    )
    std: Annotated[tuple[Spread, Spread, Spread], Field(strict=False)] = Field(
        default=(0.229, 0.224, 0.225), description="what red, green and blue are then divided by"
    )


@DATA.register
class Folder(Data):
    """Images in ``<split>/<class>/``, each of the class whose directory it lies in.

    ``evaluation/`` is measured on (or ``test/``, or ``val/``), ``calibration/`` calibrated on (or ``train/``), and
    ``train/`` fine-tuned on. An image becomes RGB and is divided by 255, resized so that its shorter side is `resize`,
    cropped in the centre to a square of `image_size`, and normalized, as torchvision's Resize, CenterCrop, ToTensor and
    Normalize do it. A camera's orientation tag is not followed (ImageFolder does not either).
    """

    source: Literal["folder"] = "folder"
    also: ClassVar[Mapping[str, str]] = {"imagefolder": "", "image-folder": "", "imagenet": ""}
    path: str = Field(min_length=1, description="the directory that holds the splits")
    image_size: int = Field(default=224, ge=1, description="side of the square that the model is given, in pixels")
    resize: int | None = Field(
        default=None,
        ge=1,
        description="length of the shorter side before the centre is cropped, in pixels, aspect kept; `image_size` if "
        "left out. 256 beside an image_size of 224 is usual for ImageNet",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(default="bilinear", description="filter for resizing")
    normalize: Normalize = Field(default=Normalize(), description="channel statistics; ImageNet's if left out")
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None,
        description="class directories in the order of the model's outputs; sorted by name if left out",
    )
    limit: int | None = Field(
        default=None, ge=1, description="evaluate on so many images only, each class in its share: for quick checks"
    )
    seed: int = Field(default=0, ge=0, description="chooses the calibration images and those within `limit`")
    tasks: ClassVar[frozenset[str]] = frozenset({"image-classification"})

    @model_validator(mode="after")
    def _crop_fits(self) -> Folder:
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(f"resize {self.resize} is smaller than the crop, image_size {self.image_size}")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names one directory twice")
        return self

    def load(self, root: Path) -> Dataset:
        """The splits; images are decoded when a batch asks for them."""
        folder = root / self.path
        places, listings = _places(folder), _listings(folder)
        classes = self._ordered(listings)
        preprocessing = Preprocessing(
            self.resize or self.image_size, self.image_size, self.interpolation, self.normalize.mean, self.normalize.std
        )

        def split(place: str, count: int | None = None, *, even: bool = False) -> ImageFiles:
            listing = listings[place]
            names = [name for one in classes for name in listing.get(one, ())]
            labels = np.repeat(np.arange(len(classes)), [len(listing.get(one, ())) for one in classes])
            if count is not None and count < len(names):
                chosen = _spread(names, labels, count, self.seed, even=even)
                names, labels = [names[index] for index in chosen], labels[chosen]
            return ImageFiles(folder, names, labels, preprocessing)

        return Dataset(
            calibration=split(places["calibration"], self.calibration, even=True),
            evaluation=split(places["evaluation"], self.limit),
            train=split(places["train"]) if "train" in places else None,
            classes=classes,
        )

    def evaluated(self, root: Path) -> int | None:
        """The images below the evaluation directory, no more than `limit`; None where there is none to count."""
        try:
            folder = root / self.path
            below = folder / _places(folder)["evaluation"]
            classes = [one for one in below.iterdir() if one.is_dir() and one.name[0] != "."]
        except (DataError, OSError):
            return None
        count = sum(len(_images(folder, one)) for one in classes)
        return count if self.limit is None else min(count, self.limit)

    def _ordered(self, listings: dict[str, Listing]) -> tuple[str, ...]:
        first, *others = listings
        for other in others:
            if listings[first].keys() != listings[other].keys():
                only = [
                    f"only in {here}/: {', '.join(sorted(extra))}"
                    for here, there in ((first, other), (other, first))
                    if (extra := listings[here].keys() - listings[there].keys())
                ]
                raise DataError(f"{self.path}: the class directories of the splits differ; {'; '.join(only)}")
        found = tuple(sorted(listings[first]))
        strange = [name for name in found if self.classes is not None and name not in self.classes]
        if strange:
            raise DataError(f"{self.path}: `classes:` does not list {', '.join(strange)}")
        return self.classes or found

    def fingerprint(self, root: Path) -> str:
        """The names and bytes of all images of the splits, and the version of their decoder."""
        folder, digest = root / self.path, hashlib.sha256()
        for listing in _listings(folder).values():
            for name in (name for one in sorted(listing) for name in listing[one]):
                with (folder / name).open("rb") as stream:
                    digest.update(name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
        return f"pillow {installed('pillow')}, {digest.hexdigest()}"


def _places(folder: Path) -> dict[str, str]:
    """Split → the directory that serves as it.

    Raises:
        DataError: there is none to calibrate on, or none to evaluate on.
    """
    if not folder.is_dir():
        raise DataError(f"no directory at {folder}")
    places = {
        split: next(place for place in choices if (folder / place).is_dir())
        for split, choices in PLACES.items()
        if any((folder / place).is_dir() for place in choices)
    }
    for split, use in (("evaluation", "measure on"), ("calibration", "calibrate on")):
        if split not in places:
            there = ", ".join(sorted(f"{one.name}/" for one in folder.iterdir() if one.is_dir())) or "no directories"
            wanted = " or ".join(f"{place}/<class>/" for place in PLACES[split])
            raise DataError(f"{folder} has no images to {use}: put them into {wanted}. It holds {there}")
    return places


def _listings(folder: Path) -> dict[str, Listing]:
    """The images of each directory that serves as a split.

    Raises:
        DataError: one has no class directories, or a class no images.
    """
    listings: dict[str, Listing] = {}
    for place in sorted(set(_places(folder).values())):
        classes = sorted(one.name for one in (folder / place).iterdir() if one.is_dir() and one.name[0] != ".")
        if not classes:
            raise DataError(f"{folder / place} has no class directories: images belong into {place}/<class>/")
        listings[place] = {name: _images(folder, folder / place / name) for name in classes}
        empty = [name for name, images in listings[place].items() if not images]
        if empty:
            raise DataError(f"{folder / place / empty[0]} holds no images ({', '.join(SUFFIXES)})")
    return listings


def _images(folder: Path, below: Path) -> list[str]:
    """Image files at any depth, links followed; what a file system or a notebook hides is no data."""
    names = (path.relative_to(folder).as_posix() for path in files_below(below, hidden=False))
    return sorted(name for name in names if name.lower().endswith(SUFFIXES))


def _spread(
    names: list[str], labels: np.ndarray[Any, Any], count: int, seed: int, *, even: bool
) -> np.ndarray[Any, Any]:
    """Indices of `count` images over all classes, ascending.

    Inside a class, images follow a hash of their names, which is the same under every version of every library.

    Args:
        names: file names, shape (images,).
        labels: their classes, shape (images,).
        count: fewer than there are images.
        seed: enters the hash.
        even: take one of each class in turn, instead of each class in its share.
    """
    keys = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names]
    turns = np.empty(len(names))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ordered = sorted(members, key=keys.__getitem__)
        turns[ordered] = np.arange(len(ordered)) if even else (np.arange(len(ordered)) + 0.5) / len(ordered)
    return np.array(sorted(sorted(range(len(names)), key=lambda index: (turns[index], keys[index]))[:count]))
