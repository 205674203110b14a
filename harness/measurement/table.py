"""Per-sample outcomes of both models as a table (CSV): one line a sample, so that anyone can judge them again."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError, TableError, closest
from harness.measurement.base import COMPRESSED, FLOAT, TARGET, UNIT, Base
from harness.measurement.labels import Labels
from harness.measurement.pairs import Pairs
from harness.measurement.swing import Statistic

# Beside the columns of what was measured, where a table names its columns.
ID = "id"
_WORDS = {"true": 1.0, "false": 0.0}
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Columns:
    """Which columns to read, by name or by number from 1; None takes what the table itself makes plain.

    Attributes:
        reference, compressed: outcomes; the columns ``float`` and ``compressed``, or else the first two that are not
            taken otherwise.
        unit: the sampling unit of each line; ``unit`` where there is such a column, or else each line is its own.
        id: what the sample is called; ``id`` where there is such a column, or else its line.
        target: of labels, the right one; ``target`` where there is such a column.
    """

    reference: str | None = None
    compressed: str | None = None
    unit: str | None = None
    id: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Table:
    """What a table holds: paired outcomes, and the name of each sample."""

    measured: Pairs | Labels
    names: tuple[str, ...]

    def changed(self, *, higher_is_better: bool = True) -> dict[str, list[str]]:
        """The samples on which the compressed model is worse than the float one (lost) and better (won), by name."""
        worse, better = (self.measured.lost, self.measured.won)[:: 1 if higher_is_better else -1]
        return {what: [self.names[index] for index in indices] for what, indices in (("lost", worse), ("won", better))}


def read(path: Path, columns: Columns | None = None, statistic: Statistic | None = None) -> Table:
    """Read a table. Its first line names the columns where none of its cells is a number.

    Outcomes are right or wrong (bool) where both columns hold nothing but 0, 1, true and false, and scores (float64)
    otherwise. With a statistic they are labels, which are compared with a third column.

    Raises:
        TableError: it is no table of outcomes: no such file or column, a line that is too short, text for a number.
        DataError: it is one and means nothing: without a sample, with NaN or infinity, or with two samples of one id.
    """
    with _told(path), path.open(newline="", encoding="utf-8-sig") as stream:
        separator = _separator(stream.readline())
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator, strict=True)
        # `line_num` counts lines of the file, which a quoted line break makes more than rows.
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if not rows:
        raise DataError(f"{path} is empty: nothing was measured")
    header = None if any(_number(cell) is not None for cell in rows[0][1]) else rows[0][1]
    places = _places(path, header, len(rows[0][1]), columns or Columns(), labels=statistic is not None)
    samples = rows[1:] if header is not None else rows
    if not samples:
        raise DataError(f"{path} names its columns and holds no sample: nothing was measured")
    widest = max(place for place in places if place is not None)
    for line, row in samples:
        if len(row) <= widest:
            raise TableError(f"{path}:{line}: has {len(row)} of the {widest + 1} columns that are needed")
    reference_at, compressed_at, unit_at, id_at, target_at = places
    units = np.arange(len(samples))
    if unit_at is not None:
        # Numbered as they come up.
        numbers: dict[str, int] = {}
        units = np.array([numbers.setdefault(row[unit_at], len(numbers)) for _, row in samples])
    names = tuple(row[id_at] if id_at is not None else f"line {line}" for line, row in samples)
    _require_single(path, [line for line, _ in samples], names)
    if statistic is not None:
        cells = np.array(
            [[row[place or 0] for place in (target_at, reference_at, compressed_at)] for _, row in samples]
        )
        _, labels = np.unique(cells, return_inverse=True)
        target, before, after = labels.reshape(cells.shape).T
        return Table(
            Labels(
                statistic=statistic, targets=target, labels_reference=before, labels=after, units=units, data=str(path)
            ),
            names,
        )
    outcomes = [
        np.array([_outcome(path, line, row[place], _title(header, place)) for line, row in samples])
        for place in (reference_at, compressed_at)
    ]
    if np.isin(np.concatenate(outcomes), (0.0, 1.0)).all():
        outcomes = [column.astype(bool) for column in outcomes]
    return Table(Pairs(outcomes_reference=outcomes[0], outcomes=outcomes[1], units=units, data=str(path)), names)


def write(path: Path, measured: Base, names: Sequence[str]) -> None:
    """Write a table that `read` takes back: ``id, unit, float, compressed``; of labels, ``target`` before the two."""
    columns: dict[str, Sequence[object]] = {ID: names}
    columns |= {name: side.tolist() for name, side in measured.columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    temporary.replace(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TableError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} cannot be read as a table: {error}") from error


def _separator(line: str) -> str:
    """The one that the first line has most of; a comma where it has none."""
    return max(_SEPARATORS, key=line.count)


def _number(cell: str) -> float | None:
    if cell.lower() in _WORDS:
        return _WORDS[cell.lower()]
    try:
        return float(cell)
    except ValueError:
        return None


def _title(header: Sequence[str] | None, place: int) -> str:
    return repr(header[place]) if header is not None else str(place + 1)


def _outcome(path: Path, line: int, cell: str, column: str) -> float:
    number = _number(cell)
    if number is None:
        found = repr(cell) if cell else "nothing"
        raise TableError(f"{path}:{line}: column {column} holds {found}, where a number is needed")
    if not math.isfinite(number):
        raise DataError(f"{path}:{line}: column {column} holds {cell}: not an outcome that means anything")
    return number


def _require_single(path: Path, lines: Iterable[int], names: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for line, name in zip(lines, names, strict=True):
        if first.setdefault(name, line) != line:
            raise DataError(f"{path}:{line}: the sample {name!r} was counted before, on line {first[name]}")


def _places(
    path: Path, header: list[str] | None, width: int, asked: Columns, *, labels: bool
) -> tuple[int, int, int | None, int | None, int | None]:
    """Indices of the two outcomes, the unit, the id and the target."""
    if width < 2:
        raise TableError(f"{path}:1: has one column, and two are needed: an outcome of each model")

    def place(name: str | None, usual: str) -> int | None:
        if name is None:
            return header.index(usual) if header is not None and usual in header else None
        if header is not None and name in header:
            return header.index(name)
        if name.isdecimal() and 1 <= int(name) <= width:
            return int(name) - 1
        if header is None:
            raise TableError(
                f"{path} has no column {name!r}: its first line names none, so number them from 1 to {width}"
            )
        near = closest(name, header)
        hint = f" Did you mean {near!r}?" if near else ""
        raise TableError(f"{path} has no column {name!r}; it has {', '.join(map(repr, header))}.{hint}")

    unit, identity, target = place(asked.unit, UNIT), place(asked.id, ID), place(asked.target, TARGET)
    if labels and target is None:
        raise TableError(f"{path} has no column `target`, which labels are compared with: name it with --target-column")
    if target is not None and not labels:
        raise TableError(f"{path} holds labels beside their target: say with --statistic what is made of them")
    reference, compressed = place(asked.reference, FLOAT), place(asked.compressed, COMPRESSED)
    left = [one for one in range(width) if one not in (unit, identity, target, reference, compressed)]
    sides = [side if side is not None else (left.pop(0) if left else None) for side in (reference, compressed)]
    if sides[0] is None or sides[1] is None:
        raise TableError(f"{path} has one column of outcomes, and two are needed: float and compressed")
    taken: list[Any] = [one for one in (*sides, unit, identity, target) if one is not None]
    if sides[0] == sides[1] or len(set(taken)) < len(taken):
        raise TableError(f"{path}: one column cannot serve for two: {', '.join(_title(header, one) for one in taken)}")
    return sides[0], sides[1], unit, identity, target


__all__ = ["Columns", "Table", "read", "write"]
