"""One row of the grid, and how a cell comes to be: planned first, so that a run can go on where another one stopped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

SIZES = (20, 100, 400, 5000)
# The error rate that every method claims.
ALPHA = 0.05
# By how much power may fall short of the best exact test's.
POWER_GAP = 0.03


@dataclass(frozen=True)
class Cell:
    """What was assumed, and how often the verdict was wrong or right. None: does not apply.

    Attributes:
        kind: one of `KINDS`.
        figure: which figure, and how the models differ.
        n, discordance, limit: sampling units, share of units on which the models differ, and the bound.
        refused: the gate refuses such a spec; nothing is measured.
        exact: summed over the sample space, so without simulation error.
        beyond: known to be more than the method can do, and shown for that; it claims nothing there.
        asked: for how many sets the run was asked; None where nothing is simulated.
        sets, power_sets, peer_sets: simulated sets behind the rates at the limit, at no drop, and of the peers.
        false_pass_rate: share of sets that pass while the true drop is at the limit.
        worst: the same at the worst of 25 discordances from the limit up.
        false_fail_rate: share of sets that fail while the true drop is at the limit.
        power: share of sets that pass while there is no drop.
        best_power: that of the best exact test known.
        peer, peer_power: the plain paired percentile bootstrap.
        others, others_power: further methods, by name.
    """

    kind: str
    figure: str
    n: int
    discordance: float
    limit: float
    refused: bool = False
    exact: bool = False
    beyond: bool = False
    asked: int | None = None
    sets: int | None = None
    power_sets: int | None = None
    peer_sets: int | None = None
    false_pass_rate: float | None = None
    worst: float | None = None
    false_fail_rate: float | None = None
    power: float | None = None
    best_power: float | None = None
    peer: float | None = None
    peer_power: float | None = None
    others: dict[str, float] = field(default_factory=dict)
    others_power: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int, float, float]:
        """What tells a cell from all others."""
        return self.kind, self.figure, self.n, round(self.discordance, 6), round(self.limit, 6)


@dataclass(frozen=True)
class Plan:
    """A cell that is still to be worked out; `blank` says what is assumed."""

    blank: Cell
    measure: Callable[[], Cell]


Plans = Iterator[Plan]


def generator(cell: Cell, what: str) -> np.random.Generator:
    """Random numbers of a cell, the same in whatever order cells are run."""
    return np.random.default_rng(zlib.crc32(repr((cell.key, what)).encode()))
