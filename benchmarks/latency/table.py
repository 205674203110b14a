"""What is printed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measurement.doubts import load_bias
from latency.cell import Cell
from latency.claims import PASSED, SECONDS, WRONG

HEADERS = (
    "work",
    "load",
    "truth",
    "gates",
    "left out",
    "PASS",
    "FAIL",
    "INCONCLUSIVE",
    "wrong",
    "again",
    "seconds",
    "stored min",
    "stored mean",
)


def row(cell: Cell) -> tuple[str, ...]:
    """A cell as texts."""
    moved = "" if cell.truth_least is None else f" [{cell.truth_least:.3f}, {cell.truth_most:.3f}]"
    return (
        cell.workload, cell.load, f"{cell.truth:.3f}{moved}, 7 % {cell.side} limit", str(cell.gates),
        _left_out(cell),
        f"{cell.pass_rate:.1%}", f"{cell.fail_rate:.1%}", f"{cell.inconclusive_rate + cell.invalid_rate:.1%}",
        f"{cell.wrong_verdicts:.1%}",
        f"{cell.taken_again:.1%}" if cell.load == "idle" else "–", f"{cell.median_seconds:.1f}",
        f"{cell.peer:.0%} of {cell.peer_runs}", f"{cell.peer_mean:.0%} of {cell.peer_runs}",
    )  # fmt: skip


def _left_out(cell: Cell) -> str:
    """How many idle gates, and what they said: whoever reads the rates can add them."""
    if cell.load != "idle":
        return "–"
    if not cell.left_out or cell.left_out_right is None:
        return str(cell.left_out)
    told = f"{cell.left_out_right} right, {cell.left_out_open} open, {cell.left_out_wrong} wrong"
    return f"{cell.left_out} ({told})"


def plain(cell: Sequence[str]) -> str:
    """One line of the table on a terminal."""
    widths = (24, 6, 41, 6, 31, 7, 7, 13, 7, 7, 8, 12, 12)
    return " ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()


def markdown(found: Sequence[Cell]) -> str:
    """The table as Markdown."""
    lines = [HEADERS, ("---",) * len(HEADERS), *map(row, found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets(found: Sequence[Cell]) -> list[str]:
    """What was to be reached, and whether it was."""
    idle = [cell for cell in found if cell.load == "idle"]
    sides = {"below": "pass_rate", "above": "fail_rate"}
    said = []
    for side, rate in sides.items():
        rates = [getattr(cell, rate) for cell in idle if cell.side == side]
        if rates:
            what = "PASS" if side == "below" else "FAIL"
            said.append(f"idle, 7 % {side} the limit: at least {min(rates):.1%} {what} (target {100 * PASSED:g} %)")
    wrong = max(cell.wrong_verdicts for cell in found)
    said.append(f"wrong verdicts: at most {wrong:.1%} in any cell (target {100 * WRONG:g} %)")
    busy = [cell for cell in found if cell.load != "idle"]
    if busy:
        moved = max(busy, key=lambda cell: abs(cell.truth / cell.truth_idle - 1) / max(load_bias(cell.others), 1e-9))
        said.append(
            f"load moved the ratio of {moved.workload} ({moved.load}) by {moved.truth / moved.truth_idle - 1:+.1%}, "
            f"most beside what is allowed for it: {load_bias(moved.others):.1%} where others took {moved.others:.0%}"
        )
    said.append(
        f"median time to a verdict: at most {max(cell.median_seconds for cell in found):.1f} s (target {SECONDS:g} s)"
    )
    return said
