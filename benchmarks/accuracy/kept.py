"""The file that a run keeps its cells in, and goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accuracy.cell import Cell, Key
from accuracy.kinds import KINDS


@dataclass(frozen=True)
class Kept:
    """The cells of a file.

    Attributes:
        path: JSON, a list of objects; None keeps nothing.
        cells: of this code and as many sets, by key: what a run goes on from, and what it adds.
        others: of other code, or other numbers of sets, as they were read. They stay in the file, and are not shown.
    """

    path: Path | None = None
    cells: dict[Key, Cell] = field(default_factory=dict)
    others: list[dict[str, Any]] = field(default_factory=list)

    def found(self, blank: Cell) -> Cell | None:
        """A cell as it was worked out before; None where it was not."""
        cell = self.cells.get(blank.key)
        # What one run leaves out another one may run.
        return None if cell is None or cell.not_run is not None else cell

    def add(self, cell: Cell) -> None:
        """Write one beside the others."""
        self.cells[cell.key] = cell
        if self.path is not None:
            told = [*(asdict(each) for each in self.cells.values()), *self.others]
            self.path.write_text(json.dumps(told, indent=1) + "\n")


def read(path: Path | None, sets: int) -> Kept:
    """What an earlier run has written.

    Args:
        path: of the file, which need not be there yet.
        sets: how many are simulated now; what was simulated with another number is worked out anew.
    """
    kept = Kept(path)
    if path is not None and path.is_file():
        for one in json.loads(path.read_text()):
            kind = KINDS.get(one["kind"])
            if kind is not None and one.get("code") == kind.digest and one["asked"] in (None, sets):
                cell = Cell(**one)
                kept.cells[cell.key] = cell
            else:
                kept.others.append(one)
    return kept
