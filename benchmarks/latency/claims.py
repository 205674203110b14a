"""What is claimed of every cell, and what so many gates can show of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scipy.special import bdtrc

from latency.cell import Cell

PASSED, WRONG, SECONDS = 0.99, 0.01, 10.0
# Gates of a whole cell, and how rare a count of fewer has to be, where the claim is kept, to show that it is not.
WHOLE, RARE = 200, 0.01


def shown(count: int, gates: int, claimed: float) -> bool:
    """Whether so many gates show that more than the share which is claimed are such.

    A whole cell is held to the share itself. One gate of three is a third of them, and a share of 1 % has one among
    three in every 34th run: of fewer gates a count shows it that had a chance below 1 %.

    Args:
        count: gates that are wrong, or are not right.
        gates: all.
        claimed: the share of such gates at most.
    """
    if gates >= WHOLE:
        return count / gates > claimed
    return bool(bdtrc(count - 1, gates, claimed) < RARE)


def missed(found: Sequence[Cell]) -> list[str]:
    """Every cell that does not reach what is claimed, and in what."""
    return [f"not kept: {said}" for cell in found for said, proven in _misses(cell) if proven]


def undecided(found: Sequence[Cell]) -> list[str]:
    """Every rate that misses its claim among gates that are too few to show it."""
    return [f"too few gates to tell: {said}" for cell in found for said, proven in _misses(cell) if not proven]


def _misses(cell: Cell) -> Iterator[tuple[str, bool]]:
    """What a cell misses, and whether its gates show that the claim is not kept."""
    named = f"{cell.workload}, {cell.load}, 7 % {cell.side} the limit"
    right, wrong = cell.pass_rate if cell.side == "below" else cell.fail_rate, cell.wrong_verdicts
    for share, claimed, what, held in (
        (1 - right, 1 - PASSED, f"{right:.1%} right, and at least {PASSED:.0%} is claimed", cell.load == "idle"),
        (wrong, WRONG, f"{wrong:.1%} wrong, and at most {WRONG:.0%} is claimed", True),
    ):
        count = round(share * cell.gates)
        if held and count / cell.gates > claimed:
            yield f"{named}: {what}", shown(count, cell.gates, claimed)
    if cell.median_seconds > SECONDS:
        yield f"{named}: {cell.median_seconds:.1f} s to a verdict, and {SECONDS:.0f} are claimed", True
