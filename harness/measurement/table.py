"""Per-sample outcomes of both models as a table (CSV): one line a sample, so that anyone can judge them again."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError, TableError
from harness.measurement.base import Base
from harness.measurement.columns import ID, ROLES, Columns, missing, number, placed, title, titles
from harness.measurement.labels import Labels
from harness.measurement.pairs import Pairs
from harness.measurement.scores import Scores
from harness.measurement.swing import Statistic

SEPARATORS = ",;\t"
_WHOLE = re.compile(r"^([+-]?\d+)\.0+$")


@dataclass(frozen=True)
class Table:
    """What a table holds: paired outcomes, the name of each sample, and which column was taken for what."""

    measured: Pairs | Labels
    names: tuple[str, ...]
    columns: dict[str, str]

    def changed(self, *, higher_is_better: bool = True) -> dict[str, list[str]]:
        """The samples on which the compressed model is worse than the float one (lost) and better (won), by name."""
        worse, better = (self.measured.lost, self.measured.won)[:: 1 if higher_is_better else -1]
        return {what: [self.names[index] for index in indices] for what, indices in (("lost", worse), ("won", better))}


def read(path: Path, columns: Columns | None = None, statistic: Statistic | None = None) -> Table:
    """Read a table. Its first line names the columns where none of its cells is a number and one outcome has a title.

    Every line is a sample but for empty ones at the end. Outcomes are right or wrong (bool) where both columns hold
    nothing but 0, 1, true and false, and scores (float64) otherwise. With a statistic they are labels, which are
    compared with a third column.

    Raises:
        TableError: it is no table of outcomes: no such file or column, a line that is too short or too long, text for a
            number, more columns that could be outcomes than two.
        DataError: it is one and means nothing: without a sample, with an outcome that is missing, NaN or infinite, or
            with two samples of one id.
    """
    with _told(path):
        # All of it at once: what comes through a pipe cannot be read again.
        stream = io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
        separator = _separator(stream.readline())
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator, strict=True)
        # `line_num` counts lines of the file, which a quoted line break makes more than rows.
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    while rows and not "".join(rows[-1][1]) and len(rows[-1][1]) < 2:
        rows.pop()
    if not rows:
        raise DataError(f"{path} is empty: nothing was measured")
    width = len(rows[0][1])
    header = titles(rows[0][1])
    places = placed(path, header, width, columns or Columns(), labels=statistic is not None)
    if all(missing(rows[0][1][place]) for place in places[:2]):
        # No title says that there is nothing: it is a sample without outcomes, and must not be lost.
        header = None
    samples = rows[1:] if header is not None else rows
    if not samples:
        raise DataError(f"{path} names its columns and holds no sample: nothing was measured")
    widest = max(place for place in places if place is not None)
    for line, row in samples:
        _require_row(path, line, row, widest, width)
    reference_at, compressed_at, unit_at, id_at, target_at = places
    units = np.arange(len(samples))
    if unit_at is not None:
        # Numbered as they come up.
        numbers: dict[str, int] = {}
        for line, row in samples:
            _require_given(path, line, row[unit_at], title(header, unit_at))
        units = np.array([numbers.setdefault(row[unit_at], len(numbers)) for _, row in samples])
    names = tuple(row[id_at] if id_at is not None else f"line {line}" for line, row in samples)
    _require_single(path, [line for line, _ in samples], names)
    taken = {role: title(header, place) for role, place in zip(ROLES, places, strict=True) if place is not None}
    if statistic is not None:
        for line, row in samples:
            for place in (target_at, reference_at, compressed_at):
                _require_given(path, line, row[place or 0], title(header, place or 0))
        cells = np.array(
            [[row[place or 0] for place in (target_at, reference_at, compressed_at)] for _, row in samples]
        )
        if header is not None:
            _require_names(path, [header[place or 0] for place in (target_at, reference_at, compressed_at)], cells)
        _, labels = np.unique(_alike(cells), return_inverse=True)
        target, before, after = labels.reshape(cells.shape).T
        return Table(
            Labels(
                statistic=statistic, targets=target, labels_reference=before, labels=after, units=units, data=str(path)
            ),
            names,
            taken,
        )
    outcomes = [
        np.array([_outcome(path, line, row[place], title(header, place)) for line, row in samples])
        for place in (reference_at, compressed_at)
    ]
    if np.isin(np.concatenate(outcomes), (0.0, 1.0)).all():
        outcomes = [column.astype(bool) for column in outcomes]
    return Table(Pairs(outcomes_reference=outcomes[0], outcomes=outcomes[1], units=units, data=str(path)), names, taken)


def write(path: Path, measured: Base, names: Sequence[str], scores: Scores | None = None) -> None:
    """Write what was measured of each sample, ``id`` first.

    What the kind calls ``unit, float, compressed``, of labels with ``target`` before the two, `read` takes back.

    Args:
        path: the file.
        measured: both sides.
        names: of all evaluated samples.
        scores: what both models scored these, told where a line is a sample.
    """
    columns: dict[str, Sequence[object]] = {ID: measured.ids(names)}
    beside = scores.columns(measured, names) if scores is not None else {}
    columns |= {name: side.tolist() for name, side in (measured.columns | beside).items()}
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
    return max(SEPARATORS, key=line.count)


def _require_row(path: Path, line: int, row: Sequence[str], widest: int, width: int) -> None:
    if len(row) < 2 and not "".join(row):
        raise DataError(f"{path}:{line}: the line is empty, and others follow: was a sample left out?")
    if len(row) <= widest:
        raise TableError(f"{path}:{line}: has {len(row)} of the {widest + 1} columns that are needed")
    if any(row[width:]):
        raise TableError(f"{path}:{line}: has {len(row)} columns, and the first line {width}: which is which?")


def _require_given(path: Path, line: int, cell: str, column: str) -> None:
    if missing(cell):
        raise DataError(f"{path}:{line}: column {column} holds {cell or 'nothing'}: it is missing")


def _require_names(path: Path, first: Sequence[str], labels: np.ndarray[Any, Any]) -> None:
    """Labels are words, and so are names of columns: a first line of labels is a sample, and must not be lost."""
    known = next((cell for cell in first if (labels == cell).any()), None)
    if known is not None:
        raise TableError(
            f"{path}:1: {known!r} is a label on other lines too, so that this line looks like a sample: begin with a "
            "line that names the columns"
        )


def _alike(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Labels with whole numbers written as such: a column in which one was missing has been written as 1.0, 2.0."""
    kinds, places = np.unique(labels, return_inverse=True)
    plain = np.array([_WHOLE.sub(r"\1", label) for label in kinds])
    return plain[places].reshape(labels.shape)


def _outcome(path: Path, line: int, cell: str, column: str) -> float:
    found = number(cell)
    if found is None:
        _require_given(path, line, cell, column)
        raise TableError(f"{path}:{line}: column {column} holds {cell!r}, where a number is needed")
    if not math.isfinite(found):
        raise DataError(f"{path}:{line}: column {column} holds {cell}: not an outcome that means anything")
    return found


def _require_single(path: Path, lines: Iterable[int], names: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for line, name in zip(lines, names, strict=True):
        if first.setdefault(name, line) != line:
            raise DataError(f"{path}:{line}: the sample {name!r} was counted before, on line {first[name]}")


__all__ = ["Columns", "Table", "read", "write"]
