"""Data `text`: your own plain texts, for a language model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.sides import position
from harness.data.walk import files_below
from harness.data.windows import Cut, Window, split
from harness.errors import DataError


@DATA.register
class Text(Data):
    """UTF-8 text: a file whose documents are parted by two empty lines, or a folder with one document a ``.txt``."""

    source: Literal["text"] = "text"
    path: str = Field(min_length=1, description="the file or folder")
    training: str | None = Field(
        default=None,
        min_length=1,
        description="a second file or folder to train and calibrate on; else `held_out` of the documents of `path` is "
        "evaluated on, by a hash of each, and the rest trained on",
    )
    held_out: float = Field(default=0.5, gt=0, lt=1, description="share of `path` to evaluate on, without `training`")
    calibration: int = Field(default=32, ge=1, description="windows to calibrate on, of the training documents")
    window: Window = Field(default=512, description="tokens that the model reads at once")
    stride: int | None = Field(
        default=None, ge=1, description="tokens from one window to the next of a long document; no overlap if left out"
    )
    windows: int | None = Field(default=None, ge=2, description="windows to evaluate on, the first; all if left out")
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm"})
    texts: ClassVar[bool] = True

    @property
    def most(self) -> int | None:
        """Windows."""
        return self.windows

    def load(self, root: Path) -> Dataset:
        """The splits."""
        evaluated = _documents(root / self.path)
        if self.training is not None:
            trained = _documents(root / self.training)
        else:
            evaluated, trained = held_out(evaluated, self.held_out)
        return split(evaluated, trained, self.calibration, Cut(self.window, self.stride, self.windows))

    def fingerprint(self, root: Path) -> str:
        """The bytes of the files, and which are trained on."""
        digest = hashlib.sha256()
        for role, name in (("path", self.path), ("training", self.training)):
            digest.update(role.encode() + b"\0")
            for path in _files(root / name) if name is not None else ():
                digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


Document = tuple[str, str]


def held_out(documents: list[Document], share: float) -> tuple[list[Document], list[Document]]:
    """Documents parted by a hash of their text: about that share of them, and the rest."""
    parts: tuple[list[Document], list[Document]] = ([], [])
    for document in documents:
        parts[position(document[1]) >= share].append(document)
    return parts


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [one for one in files_below(path) if one.name.endswith(".txt")] if path.is_dir() else []
    if not found:
        raise DataError(
            f"no text at {path}: a file, or a folder with .txt files (relative paths start at the directory that holds "
            "specs/)"
        )
    return found


def _documents(path: Path) -> list[Document]:
    found: list[Document] = []
    for file in _files(path):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{file.name} is no UTF-8 text: {error}") from error
        if path.is_dir():
            found += [(file.relative_to(path).as_posix(), text)] if text.strip() else []
            continue
        parts = [part for part in text.replace("\r\n", "\n").split("\n\n\n") if part.strip()]
        found += [(f"document {index}", part.strip("\n")) for index, part in enumerate(parts, 1)]
    if not found:
        raise DataError(f"{path.name} holds no text")
    return found
