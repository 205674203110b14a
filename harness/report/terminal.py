"""The verdict table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.judge.figures import number, ratio_text
from harness.judge.verdict import State, Verdict
from harness.report.document import wanting

if TYPE_CHECKING:
    import pytest

_COLOURS = {
    State.PASS: {"green": True},
    State.FAIL: {"red": True, "bold": True},
    State.INVALID: {"red": True},
    State.INCONCLUSIVE: {"yellow": True},
    State.EXPECTED: {"yellow": True},
    State.NOT_RUN: {"yellow": True},
}
HEADERS = ("budget", "float", "compressed", "change", "bound", "verdict")
_FIGURES = slice(1, 3)
# How a bound is written, before its limit.
_BOUNDS = {
    "min": "≥", "max": "≤", "min_ratio": "ratio ≥", "max_ratio": "ratio ≤", "max_drop": "drop ≤", "max_rise": "rise ≤",
    "reference_min": "float ≥", "reference_max": "float ≤",
}  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """One budget, as text: the bounds one by one, for a narrow terminal stacks them."""

    row: Verdict
    cells: tuple[str, str, str, str]
    bounds: tuple[str, ...]
    verdict: str


def write_table(terminal: pytest.TerminalReporter, rows: Sequence[Verdict], notes: Sequence[str]) -> None:
    """Write one line a budget, then the counts, then what else a user should know.

    Args:
        terminal: where to.
        rows: the verdicts; the rows of one case stand together.
        notes: one line each.
    """
    terminal.write_sep("=", "weighin")
    lines = [_line(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADERS[:4], *(line.cells for line in lines), strict=True)]
    room = terminal._tw.fullwidth - sum(widths) - 2 * len(widths) - max(len(line.verdict) for line in lines) - 4
    stacked = any(len(", ".join(line.bounds)) > room for line in lines)
    shown = [line.bounds if stacked else (", ".join(line.bounds),) for line in lines]
    widths.append(max(len(HEADERS[4]), *(len(bound) for bounds in shown for bound in bounds)))
    terminal.write_line(f"  {_padded(HEADERS[:5], widths)}  {HEADERS[5]}", bold=True)
    previous = ""
    for line, bounds in zip(lines, shown, strict=True):
        if line.row.name != previous:
            terminal.write_line(previous := line.row.name, bold=True)
        first, *others = bounds or ("",)
        terminal.write(f"  {_padded((*line.cells, first), widths)}  ")
        terminal.write_line(line.verdict, **_COLOURS[line.row.verdict])
        for bound in others:
            terminal.write_line(f"  {_padded(('', '', '', '', bound), widths)}".rstrip())
    terminal.write_line("")
    terminal.write_line(_counts(rows))
    for note in (*_not_run(rows), *_expected(rows), *notes):
        terminal.write_line(note)


def _line(row: Verdict) -> _Line:
    reference, value = (number(figure) if figure is not None else "" for figure in (row.reference, row.value))
    bounds = tuple(
        f"{_BOUNDS[name]} {(ratio_text if name.endswith('ratio') else number)(limit)}"
        for name, limit in row.bound.items()
    )
    # The unit stands once, behind the figure that is judged.
    budget = row.label if row.label == row.metric else f"{row.label} ({row.metric})"
    cells = (budget, reference, f"{value} {row.unit}" if value and row.unit else value, _change(row))
    return _Line(row, cells, bounds, row.verdict + (" no baseline" if row.unaccepted else ""))


def _change(row: Verdict) -> str:
    """What the bound is held against, where that is not the compressed model's own figure."""
    if row.interval is None or row.interval.of == "value":
        return ""
    if row.interval.of == "ratio":
        return f"ratio {ratio_text(row.interval.estimate)}"
    rise = "max_rise" in row.bound and "max_drop" not in row.bound
    return f"{'rise' if rise else 'drop'} {number(-row.interval.estimate if rise else row.interval.estimate)}"


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = range(len(cells))[_FIGURES]
    return "  ".join(
        cell.rjust(width) if column in columns else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _counts(rows: Sequence[Verdict]) -> str:
    counts = {state: sum(row.verdict is state for row in rows) for state in State}
    text = {state: f"{count} {state}" for state, count in counts.items() if count}
    if State.FAIL in text:
        text[State.FAIL] += wanting(rows)
    return ", ".join(text.values())


def _not_run(rows: Sequence[Verdict]) -> Iterator[str]:
    """Why rows were not run, once for the rows of a case that share the reason."""
    told = set()
    for row in rows:
        if row.verdict is State.NOT_RUN and (row.name, row.reason) not in told:
            told.add((row.name, row.reason))
            yield f"not run: {row.name}: {row.reason}"


def _expected(rows: Sequence[Verdict]) -> Iterator[str]:
    """Who bears what until when, the day that comes first first."""
    borne = [(entry, row) for row in rows for entry in row.expected]
    for entry, row in sorted(borne, key=lambda one: one[0].until):
        yield f"expected: {row.name}: {row.label} {entry} until {entry.until}, {entry.owner}: {entry.because}"
