"""What is printed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measurement.doubts import load_bias
from latency.cell import Cell

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
        str(cell.left_out) if cell.load == "idle" else "–",
        f"{cell.pass_rate:.1%}", f"{cell.fail_rate:.1%}", f"{cell.inconclusive_rate + cell.invalid_rate:.1%}",
        f"{cell.wrong_verdicts:.1%}",
        f"{cell.taken_again:.1%}" if cell.load == "idle" else "–", f"{cell.median_seconds:.1f}",
        f"{cell.peer:.0%} of {cell.peer_runs}", f"{cell.peer_mean:.0%} of {cell.peer_runs}",
    )  # fmt: skip


def plain(cell: Sequence[str]) -> str:
    """One line of the table on a terminal."""
    widths = (24, 6, 41, 6, 9, 7, 7, 13, 7, 7, 8, 12, 12)
    return " ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()


def markdown(found: Sequence[Cell]) -> str:
    """The table as Markdown."""
    lines = [HEADERS, ("---",) * len(HEADERS), *map(row, found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PASSED, WRONG, SECONDS = 0.99, 0.01, 10.0


def missed(found: Sequence[Cell]) -> list[str]:
    """Every cell that does not reach what is claimed, and in what."""
    said = []
    for cell in found:
        right = cell.pass_rate if cell.side == "below" else cell.fail_rate
        for what, bad in (
            (f"{right:.1%} right, and at least {PASSED:.0%} is claimed", cell.load == "idle" and right < PASSED),
            (f"{cell.wrong_verdicts:.1%} wrong, and at most {WRONG:.0%} is claimed", cell.wrong_verdicts > WRONG),
            (f"{cell.median_seconds:.1f} s to a verdict, and {SECONDS:.0f} are claimed", cell.median_seconds > SECONDS),
        ):
            if bad:
                said.append(f"not kept: {cell.workload}, {cell.load}, 7 % {cell.side} the limit: {what}")
    return said


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
