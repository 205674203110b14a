"""Files below a folder, with links followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path, *, hidden: bool = True) -> list[Path]:
    """Files at any depth, sorted by their paths.

    Links to folders are followed, but none to a folder that it lies in itself: that would have no end.

    Args:
        folder: where to look.
        hidden: take names that begin with a dot, and what lies below them, too.

    Raises:
        OSError: a folder cannot be read; what lies in it would be missing without a word.
    """
    return sorted(_walk(folder, frozenset(folder.resolve().parents), hidden))


def _walk(folder: Path, above: frozenset[Path], hidden: bool) -> Iterator[Path]:
    """The files of a folder and of those in it.

    Args:
        folder: where to look.
        above: the folders that it lies in, links resolved.
        hidden: take names that begin with a dot.
    """
    here = folder.resolve()
    if here in above:
        return
    for one in folder.iterdir():
        if not hidden and one.name.startswith("."):
            continue
        if one.is_dir():
            yield from _walk(one, above | {here}, hidden)
        else:
            yield one
