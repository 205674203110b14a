"""Which columns of a table hold what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TableError, closest
from harness.measurement.base import COMPRESSED, FLOAT, TARGET, UNIT

# Beside the columns of what was measured, where a table names its columns.
ID = "id"
# What `placed` gives a place to, in its order.
ROLES = (FLOAT, COMPRESSED, UNIT, ID, TARGET)
_WORDS = {"true": 1.0, "false": 0.0}
# What others write where there is nothing, in lower case.
_MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "none", "null", "nil"})

# Parts of names that say which model's outcomes a column holds.
_COMPRESSED = (COMPRESSED, "int8", "int4", "quant", "prun", "distil", "student")
_ORIGINAL = (FLOAT, "fp32", "float32", "original", "reference", "teacher")

Places = tuple[int, int, int | None, int | None, int | None]


@dataclass(frozen=True)
class Columns:
    """Which columns to read, by name or by number from 1; None takes what the table itself makes plain.

    Names match in upper and lower case alike.

    Attributes:
        reference, compressed: outcomes; the columns ``float`` and ``compressed``, or else the two that are left when
            those below are taken, in their order.
        unit: the sampling unit of each line; ``unit`` where there is such a column, or else each line is its own.
        id: what the sample is called; ``id`` where there is such a column, or else its line.
        target: of labels, the right one; ``target`` where there is such a column.
    """

    reference: str | None = None
    compressed: str | None = None
    unit: str | None = None
    id: str | None = None
    target: str | None = None


def number(cell: str) -> float | None:
    """What a cell says as a number; None where it is none."""
    if cell.lower() in _WORDS:
        return _WORDS[cell.lower()]
    if "_" in cell:
        # Python's own grouping of digits, which no table means.
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def missing(cell: str) -> bool:
    """Whether a cell says that there is nothing."""
    return cell.lower() in _MISSING


def titles(first: Sequence[str]) -> list[str] | None:
    """A first line as names of columns; None where it is a sample: it has a number, or says nothing at all."""
    plain = any(number(cell) is not None for cell in first) or all(map(missing, first))
    return None if plain else list(first)


def title(header: Sequence[str] | None, place: int) -> str:
    """What sentences call a column."""
    return repr(header[place]) if header is not None and header[place] else str(place + 1)


def placed(path: Path, header: list[str] | None, width: int, asked: Columns, *, labels: bool) -> Places:
    """Indices of the two outcomes, the unit, the id and the target.

    Raises:
        TableError: a column is not there or serves for two, or which two are the outcomes is not plain.
    """
    if width < 2:
        raise TableError(f"{path}:1: has one column, and two are needed: an outcome of each model")

    def place(name: str | None, usual: str) -> int | None:
        return _find(path, header, width, name, usual)

    unit, identity, target = place(asked.unit, UNIT), place(asked.id, ID), place(asked.target, TARGET)
    if labels and target is None:
        raise TableError(f"{path} has no column `target`, which labels are compared with: name it with --target-column")
    if target is not None and not labels:
        raise TableError(f"{path} holds labels beside their target: say with --statistic what is made of them")
    sides = [place(asked.reference, FLOAT), place(asked.compressed, COMPRESSED)]
    left = [one for one in range(width) if one not in (unit, identity, target, *sides)]
    if len(left) > (wanted := sides.count(None)) > 0:
        could = ", ".join(title(header, one) for one in left)
        raise TableError(
            f"{path} has {len(left)} columns that could be the outcomes, {could}, and {wanted} to be found: say which "
            "with --float-column and --compressed-column, or which is no outcome with --id-column or --unit-column"
        )
    if sides == [None, None] and len(left) == 2 and header is not None and _turned(*(header[one] for one in left)):
        first, second = (title(header, one) for one in left)
        raise TableError(
            f"{path}: of the columns {first} and {second} the first would be taken for the float model's: say which is "
            "which with --float-column and --compressed-column"
        )
    reference, compressed = (side if side is not None else (left.pop(0) if left else None) for side in sides)
    if reference is None or compressed is None:
        raise TableError(f"{path} has one column of outcomes, and two are needed: float and compressed")
    taken = [one for one in (reference, compressed, unit, identity, target) if one is not None]
    if len(set(taken)) < len(taken):
        raise TableError(f"{path}: one column cannot serve for two: {', '.join(title(header, one) for one in taken)}")
    return reference, compressed, unit, identity, target


def _turned(first: str, second: str) -> bool:
    """Whether the names of two columns say that the compressed model comes first."""
    one, other = first.lower(), second.lower()

    def told(name: str, beside: str, signs: Sequence[str]) -> bool:
        # What both names have in common tells them not apart: `student_float, student_int8`.
        return any(sign in name and sign not in beside for sign in signs)

    compressed = told(one, other, _COMPRESSED) and not told(one, other, _ORIGINAL)
    original = told(other, one, _ORIGINAL) and not told(other, one, _COMPRESSED)
    return compressed or original


def _find(path: Path, header: list[str] | None, width: int, name: str | None, usual: str) -> int | None:
    wanted = usual if name is None else name
    found = [index for index, one in enumerate(header or ()) if one.lower() == wanted.lower()]
    if len(found) > 1:
        exact = [index for index in found if header is not None and header[index] == wanted]
        if name is None or len(exact) != 1:
            numbers = ", ".join(str(index + 1) for index in found)
            raise TableError(f"{path} has the column {wanted!r} {len(found)} times: give its number, one of {numbers}")
        found = exact
    if found or name is None:
        return found[0] if found else None
    if name.isdecimal() and 1 <= int(name) <= width:
        return int(name) - 1
    if header is None:
        raise TableError(f"{path} has no column {name!r}: its first line names none, so number them from 1 to {width}")
    near = closest(name, header)
    hint = f" Did you mean {near!r}?" if near else ""
    raise TableError(f"{path} has no column {name!r}; it has {', '.join(map(repr, header))}.{hint}")
