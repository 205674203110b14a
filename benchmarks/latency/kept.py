"""The cells of FILE: those that a run goes on from, and all others, which stay in it as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from latency.cell import Asked, Cell
from latency.log import place


def read(path: Path | None) -> list[Cell]:
    """All that earlier runs have left there; the oldest know neither their place nor what was asked."""
    return [Cell(**one) for one in json.loads(path.read_text())] if path is not None and path.exists() else []


def write(path: Path | None, cells: Sequence[Cell]) -> None:
    """Keep them there; None keeps nothing."""
    if path is not None:
        path.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")


def own(cell: Cell, asked: Asked) -> bool:
    """Whether a cell is of this code on this machine, its gates run as they are asked for now."""
    return (cell.place, cell.asked) == (place(), asked.way)


def joined(cells: Sequence[Cell], new: Sequence[Cell]) -> list[Cell]:
    """All cells; new ones replace those of fewer gates, which they go on from."""
    replaced = [(cell.key, cell.place, cell.asked) for cell in new]
    kept = [cell for cell in cells if (cell.key, cell.place, cell.asked) not in replaced]
    return [*kept, *new]


def others(cells: Sequence[Cell], asked: Asked) -> dict[str, list[Cell]]:
    """Cells that are not this run's own, by what they are of."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if not own(cell, asked):
            way = "unknown" if cell.asked is None else json.dumps(cell.asked)
            found.setdefault(f"place {cell.place or 'unknown'}, asked {way}", []).append(cell)
    return found
