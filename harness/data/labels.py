"""Labels as classes: which of them mean one class, and the order of those that are numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

_WHOLE = re.compile(r"^([+-]?\d+)\.0+$")
# So many are written out in a sentence.
MOST_LISTED = 20


def meanings(labels: Iterable[str]) -> dict[str, str]:
    """The class that each label means: itself, but where `1` and `1.0` both occur: those are one class, `1`.

    A column of whole numbers in which one was missing has been written as 1.0, 2.0, and the one beside it has not.
    """
    plain = {label: _WHOLE.sub(r"\1", label) for label in labels}
    return plain if len(set(plain.values())) < len(plain) else {label: label for label in plain}


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Different labels sorted, and by value where all are numbers: as text 10 comes before 2, and -1 before -2."""
    values = {label: _number(label) for label in labels}
    if None in values.values():
        return tuple(sorted(values))
    return tuple(sorted(values, key=lambda label: (values[label] or Decimal(0), label)))


def listed(labels: Sequence[str]) -> str:
    """Labels as a sentence says them: the first of a great many, and how many more there are."""
    more = len(labels) - MOST_LISTED
    return ", ".join(labels[:MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _number(label: str) -> Decimal | None:
    """What a label says as a finite number, exactly, however long it is; None where it says none."""
    # Python's own grouping of digits, which no table means.
    if "_" in label:
        return None
    try:
        value = Decimal(label)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
