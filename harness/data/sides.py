"""On which side of a split texts fall: by a hash, so that it is the same on every machine and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def position(text: str) -> float:
    """A number from 0 to 1 that follows from a text alone, without the white space around it."""
    return int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:4]) / 2**32


def positions(records: Sequence[Sequence[str]]) -> list[float]:
    """The number of each record: that of its first text, and one for all records that hang together.

    Records hang together where they share a text, directly or through others: parted, the text would lie on both sides.
    Theirs is the number of the text that is the first in alphabetical order of those that they begin with.

    Args:
        records: the texts of each, without white space around them.
    """
    above: dict[str, str] = {}
    for texts in records:
        for text in texts:
            above.setdefault(text, text)
            above[_top(above, text)] = _top(above, texts[0])
    leading: dict[str, str] = {}
    for texts in records:
        top = _top(above, texts[0])
        leading[top] = min(leading.get(top, texts[0]), texts[0])
    return [position(leading[_top(above, texts[0])]) for texts in records]


def _top(above: dict[str, str], text: str) -> str:
    """The text that stands for all that hang together with one."""
    while above[text] != text:
        # Halves the way for whoever comes after.
        above[text] = above[above[text]]
        text = above[text]
    return text
