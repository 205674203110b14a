"""Data `jsonl` and `csv`: your own texts, one record a line: with a label, in pairs with a score, or by themselves."""

from __future__ import annotations

import csv
import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.data.base import DATA, Dataset
from harness.data.records import Record, Records
from harness.errors import DataError


class Table(Records):
    """Records in a file. With `label`, texts to classify; with `other` and `score`, pairs and how alike they are.

    With neither, documents for a language model, which are cut into windows.
    """

    path: str = Field(min_length=1, description="the file; UTF-8")
    training: str | None = Field(
        default=None,
        min_length=1,
        description="a second file to train and calibrate on; else `held_out` of `path` is evaluated on, by a hash of "
        "each text, and the rest trained on",
    )
    held_out: float = Field(
        default=0.5, gt=0, lt=1, description="share of `path` that is evaluated on, without `training`"
    )

    @abstractmethod
    def records(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and fields of each record."""

    def load(self, root: Path) -> Dataset:
        """The splits."""
        evaluated = self._read(root / self.path)
        if self.training is not None:
            return self.dataset(evaluated, self._read(root / self.training))
        parts: tuple[list[Record], list[Record]] = ([], [])
        for record in evaluated:
            share = int.from_bytes(hashlib.sha256(record.fields[self.text].strip().encode()).digest()[:4]) / 2**32
            parts[share >= self.held_out].append(record)
        return self.dataset(*parts)

    def _read(self, path: Path) -> list[Record]:
        if not path.is_file():
            raise DataError(f"no file at {path} (relative paths start at the directory that holds specs/)")
        found: list[Record] = []
        try:
            for line, fields in self.records(path):
                found.append(Record(f"line {line}", fields))
                self.demand(found[-1], path.name)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path.name} cannot be read: {error}") from error
        if not found:
            raise DataError(f"{path.name} holds no record")
        return found

    def fingerprint(self, root: Path) -> str:
        """The bytes of each file, and what it is for."""
        digest = hashlib.sha256()
        for role, name in (("path", self.path), ("training", self.training)):
            if name is not None:
                try:
                    # Each by itself: a line that moves from the end of one to the other has changed both.
                    digest.update(role.encode() + hashlib.sha256((root / name).read_bytes()).digest())
                except OSError as error:
                    raise DataError(f"{name} cannot be read: {error.strerror}") from error
        return digest.hexdigest()


@DATA.register
class Jsonl(Table):
    """One JSON object a line."""

    source: Literal["jsonl"] = "jsonl"

    def records(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        """The objects; numbers become text."""
        with path.open(encoding="utf-8") as stream:
            for line, text in enumerate(stream, 1):
                if not text.strip():
                    continue
                try:
                    record = json.loads(text)
                except ValueError as error:
                    raise DataError(f"{path.name}, line {line}: no JSON ({error})") from error
                if not isinstance(record, dict):
                    raise DataError(f"{path.name}, line {line}: a JSON object was expected")
                yield line, {str(key): "" if value is None else str(value) for key, value in record.items()}


@DATA.register
class Csv(Table):
    """A table with a header line."""

    source: Literal["csv"] = "csv"

    def records(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows, by column name."""
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                yield reader.line_num, {str(key): value or "" for key, value in row.items() if key is not None}
