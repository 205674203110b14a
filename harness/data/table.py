"""Data `jsonl` and `csv`: your own texts, one record a line: with a label, in pairs with a score, or by themselves."""

from __future__ import annotations

import csv
import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.data.base import DATA, Dataset
from harness.data.header import require_columns, separated_by
from harness.data.labels import in_order, listed, meanings
from harness.data.records import Record, Records
from harness.data.sides import position, positions
from harness.errors import DataError, closest

# Of what `held_out` asks of a side; where pairs that hang together leave less, they decide the split and not it.
LEAST = 0.1


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
    def records(self, path: Path, called: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and fields of each record.

        Args:
            path: the file.
            called: what sentences call it: the path that the spec gives, for two folders may hold files of one name.
        """

    def load(self, root: Path) -> Dataset:
        """The splits."""
        evaluated = self._read(root, self.path)
        if self.training is None:
            return self.dataset(*self._parted(evaluated))
        trained = self._read(root, self.training)
        self._require_known(evaluated, trained)
        return self.dataset(evaluated, trained)

    def _require_known(self, evaluated: list[Record], trained: list[Record]) -> None:
        """Hold the labels of the evaluation file to those of the training file, unless `classes` says what there is.

        Raises:
            DataError: one occurs in the evaluation file alone. It may be a typing error, which would be a class that
                no model has and would give other outputs to the classes behind it.
        """
        key = self.label
        if key is None or self.classes is not None:
            return
        meant = meanings(record.fields[key] for record in (*evaluated, *trained))
        known = in_order(meant[record.fields[key]] for record in trained)
        strange: dict[str, Record] = {}
        for record in evaluated:
            if meant[record.fields[key]] not in known:
                strange.setdefault(record.fields[key], record)
        if not strange:
            return
        label, first = next(iter(strange.items()))
        more = f" (and {len(strange) - 1:,} more)" if len(strange) > 1 else ""
        hint = f"; did you mean {near!r}?" if (near := closest(label, known)) else "."
        raise DataError(
            f"{first.where}: the label {label!r}{more} occurs nowhere in {self.training}, whose labels are "
            f"{listed(known)}{hint} Where it is a class of its own, list all classes under `classes:`, in the order of "
            "the model's outputs"
        )

    def _parted(self, records: list[Record]) -> tuple[list[Record], list[Record]]:
        """What is evaluated on, and what is trained on; no text is on both sides.

        Raises:
            DataError: the texts leave a side without records, or pairs that hang together next to none of them.
        """
        alone, together = self._positions(records)
        parts: tuple[list[Record], list[Record]] = ([], [])
        for record, place in zip(records, together, strict=True):
            parts[place >= self.held_out].append(record)
        joined = together != alone
        least = LEAST * len(records) if joined else 0.0
        asked = self.held_out, 1 - self.held_out
        if any(not part or len(part) < least * share for part, share in zip(parts, asked, strict=True)):
            most = Counter(together).most_common(1)[0][1]
            why = f", for {most:,} hang together through texts that they share" if joined else ""
            raise DataError(
                f"{self.path}: of {len(records):,} records {len(parts[0]):,} would be evaluated on and "
                f"{len(parts[1]):,} trained on{why}: give a second file as `training:`"
            )
        return parts

    def _positions(self, records: list[Record]) -> tuple[list[float], list[float]]:
        """What decides the side of each record: its first text, and that of all records that hang together with it."""
        said = [self.said(record) for record in records]
        return [position(texts[0]) for texts in said], positions(said)

    def _read(self, root: Path, name: str) -> list[Record]:
        path = root / name
        if not path.is_file():
            raise DataError(f"no file at {path} (relative paths start at the directory that holds specs/)")
        found: list[Record] = []
        try:
            for line, fields in self.records(path, name):
                found.append(Record(name, f"line {line}", fields))
                self.demand(found[-1])
        except UnicodeDecodeError as error:
            raise DataError(f"{name} cannot be read: {error}") from error
        if not found:
            raise DataError(f"{name} holds no record")
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
        if self.other is not None and self.training is None:
            # The bytes are those of before records that hang together were kept on one side.
            sides = [[place >= self.held_out for place in one] for one in self._positions(self._read(root, self.path))]
            digest.update(b"together" if sides[0] != sides[1] else b"")
        return digest.hexdigest()


@DATA.register
class Jsonl(Table):
    """One JSON object a line."""

    source: Literal["jsonl"] = "jsonl"

    def records(self, path: Path, called: str) -> Iterator[tuple[int, dict[str, str]]]:
        """The objects; numbers become text."""
        with path.open(encoding="utf-8") as stream:
            for line, text in enumerate(stream, 1):
                if not text.strip():
                    continue
                try:
                    record = json.loads(text)
                except ValueError as error:
                    raise DataError(f"{called}, line {line}: no JSON ({error})") from error
                if not isinstance(record, dict):
                    raise DataError(f"{called}, line {line}: a JSON object was expected")
                yield line, {str(key): "" if value is None else str(value) for key, value in record.items()}


@DATA.register
class Csv(Table):
    """A table with a header line."""

    source: Literal["csv"] = "csv"

    def records(self, path: Path, called: str) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows, by column name.

        Raises:
            DataError: a header without a column that is asked for, a row with more or fewer cells than the header, or a
                quote that is left open.
        """
        header: list[str] = []
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = next((line for line in stream if line.strip("\r\n")), "")
            stream.seek(0)
            reader = csv.reader(stream, strict=True)
            while True:
                begun = f"{called}, line {reader.line_num + 1}"
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    # Behind a quote that closes, any separator but a comma is an error.
                    if not header and separated_by(first, self.wanted):
                        require_columns([first.strip()], first, self.wanted, begun)
                    raise DataError(f"{begun}: no row of a CSV ({error}): is a quote left open?") from error
                if row is None:
                    return
                if not row:
                    continue
                if not header:
                    require_columns(row, first, self.wanted, begun)
                    header = row
                    continue
                if any(cell.strip() for cell in row[len(header) :]):
                    raise DataError(
                        f"{begun}: has {len(row)} cells, and the header names {len(header)}: is a comma in a text not "
                        "quoted?"
                    )
                if len(row) < len(header):
                    raise DataError(f"{begun}: has {len(row)} of the {len(header)} cells that the header names")
                yield reader.line_num, dict(zip(header, row, strict=False))
