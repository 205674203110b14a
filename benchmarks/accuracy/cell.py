"""One row of the grid, and how a cell comes to be: planned first, so that a run can go on where another one stopped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

SIZES = (20, 100, 400, 5000)
GRID = "no others are in the grid"
# Simulated sets a cell; with as few as the second, what is slow is left out.
FULL, QUICK = 10_000, 300
# The error rate that every method claims.
ALPHA = 0.05
# By how much power may fall short of the best exact test's.
POWER_GAP = 0.03

Key = tuple[str, str, int, float, float]


@dataclass(frozen=True)
class Cell:
    """What was assumed, and how often the verdict was wrong or right. None: does not apply.

    Attributes:
        kind: one of `KINDS`.
        figure: which figure, and how the models differ.
        n, discordance, limit: sampling units, share of units on which the models differ, and the bound.
        refused: the gate refuses such a spec; nothing is measured.
        not_run: why nothing was measured though the gate would; None where something was, or is refused.
        exact: summed over the sample space, so without simulation error.
        code: of the code that it was worked out by.
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
    not_run: str | None = None
    exact: bool = False
    code: str | None = None
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
    def key(self) -> Key:
        """What tells a cell from all others."""
        return self.kind, self.figure, self.n, round(self.discordance, 6), round(self.limit, 6)

    @property
    def left_out(self) -> bool:
        """Whether there is nothing to work out."""
        return self.refused or self.not_run is not None


@dataclass(frozen=True)
class Asked:
    """Which cells a run is to have.

    Attributes:
        sizes: sampling units.
        sets: simulated sets a cell.
        limits, discordances: of proportions.
    """

    sizes: tuple[int, ...]
    sets: int
    limits: tuple[float, ...]
    discordances: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """A cell that is still to be worked out; `blank` says what is assumed."""

    blank: Cell
    measure: Callable[[], Cell]


Plans = Iterator[Plan]


def generator(cell: Cell, what: str) -> np.random.Generator:
    """Random numbers of a cell, the same in whatever order cells are run."""
    return np.random.default_rng(zlib.crc32(repr((cell.key, what)).encode()))
