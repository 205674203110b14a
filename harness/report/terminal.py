"""The verdict table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.judge.verdict import State, Verdict, number

_COLOURS = {
    State.PASS: {"green": True},
    State.FAIL: {"red": True, "bold": True},
    State.INVALID: {"red": True},
    State.INCONCLUSIVE: {"yellow": True},
    State.NOT_RUN: {"yellow": True},
}
HEADERS = ("spec", "budget", "float", "compressed", "bound", "verdict")


def write_table(terminal: pytest.TerminalReporter, rows: Sequence[Verdict], notes: Sequence[str]) -> None:
    """Write one line a budget, then the counts, then what else a user should know."""
    terminal.section("weighin")
    cells = [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in (HEADERS, *cells)) for column in range(len(HEADERS))]
    terminal.write_line(_line(HEADERS, widths), bold=True)
    previous = ""
    for row, line in zip(rows, cells, strict=True):
        # A spec is named once; its budgets stand below it.
        shown = ("" if line[0] == previous else line[0], *line[1:])
        previous = line[0]
        terminal.write(_line(shown, widths)[: -len(line[-1])])
        terminal.write_line(line[-1], **_COLOURS[row.verdict])
    counts = {state: sum(row.verdict is state for row in rows) for state in State}
    terminal.write_line("")
    terminal.write_line(", ".join(f"{count} {state.value}" for state, count in counts.items() if count))
    for note in notes:
        terminal.write_line(note)


def _cells(row: Verdict) -> tuple[str, ...]:
    name = f"{row.spec}[{row.case}]" if row.case else row.spec
    figures = [
        f"{number(value)} {row.unit}".rstrip() if value is not None else "" for value in (row.reference, row.value)
    ]
    bounds = ", ".join(f"{bound} {number(limit)}" for bound, limit in row.bound.items())
    return (name, row.label, *figures, bounds, row.verdict.value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        padded.append(
            cell.rjust(width) if column in (2, 3) else cell if column == len(cells) - 1 else cell.ljust(width)
        )
    return "  ".join(padded)
