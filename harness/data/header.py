"""The line of a table that names its columns: what is asked for stands in it, or a sentence says what it seems."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.labels import listed
from harness.errors import DataError, closest

# What other programs write where this one reads commas.
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Of a text that stands where a name should, a sentence shows the beginning.
LONGEST = 40


def require_columns(header: Sequence[str], line: str, wanted: Sequence[str], place: str) -> None:
    """Hold a header to the columns that are asked for.

    Args:
        header: the names, as commas part them.
        line: as it stands in the file.
        wanted: the columns that are asked for.
        place: file and line, as a sentence says them.

    Raises:
        DataError: one is not there, or stands twice; the sentence says what there is, what the line seems to be, or the
            closest names.
    """
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise DataError(f"{place}: the header has {_shown(twice)} more than once: rename all but the one that is meant")
    lacking = [name for name in wanted if name not in header]
    if not lacking:
        return
    near = dict.fromkeys(one for name in lacking if (one := closest(name, header)) is not None)
    if separator := separated_by(line, wanted):
        why = f": it seems to be separated by {separator}, and a `csv` is by commas: save it with commas"
    elif near:
        why = f"; did you mean {_shown(list(near))}?"
    elif len(lacking) == len(wanted):
        why = (
            ": the file seems to have no header line: write one above it, or say under `data:` which of these columns "
            "are meant"
        )
    else:
        why = ""
    raise DataError(
        f"{place}: of the columns asked for ({_shown(wanted)}) the header lacks {_shown(lacking)}, and has "
        f"{_shown(header)}{why}"
    )


def separated_by(line: str, wanted: Sequence[str]) -> str | None:
    """What the cells of a header seem to be separated by, in words; None where commas do as well as anything.

    Args:
        line: as it stands in the file.
        wanted: the columns that are asked for.
    """
    cells = {sign: [cell.strip().strip('"') for cell in line.split(sign)] for sign in (",", *SEPARATORS)}
    found = {sign: len(set(wanted).intersection(parts)) for sign, parts in cells.items()}
    best = max(cells, key=lambda sign: (found[sign], len(cells[sign])))
    # Where nothing that is asked for is found, a sign in a text is no separator as long as commas give cells enough.
    too_few = found[best] == 0 and len(cells[","]) < len(wanted) <= len(cells[best])
    return SEPARATORS[best] if found[best] > found[","] or too_few else None


def _shown(names: Sequence[str]) -> str:
    return listed([repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…") for name in names])
