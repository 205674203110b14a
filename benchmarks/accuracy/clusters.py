"""Units of several samples that hang together, right or wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accuracy.cell import GRID, SIZES
from accuracy.decided import Drops
from harness.measurement import Base, Pairs
from harness.statistics import smallest_limit


@dataclass(frozen=True)
class Clusters:
    """Units of five samples, right or wrong; of a share of units about half of the samples are lost."""

    figure: str
    discordance: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    @property
    def limit(self) -> float:
        """Half of the samples of those units."""
        return self.discordance / 2

    def finest(self, n: int) -> float:
        """That of a share of as many samples."""
        return smallest_limit(n)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        fate = random.random(n)[:, None] < self.discordance
        changed = fate & (random.random((n, 5)) < 0.5)
        # Of a unit that differs all samples are lost, or all won.
        won = changed & level & (random.random(n)[:, None] < 0.5)
        lost, right = changed & ~won, random.random((n, 5)) < 0.8
        reference, value = (right | lost) & ~won, (right | won) & ~lost
        drop = (reference.astype(float) - value).mean(axis=1)
        measured = Pairs(
            outcomes_reference=reference.ravel(), outcomes=value.ravel(), units=np.repeat(np.arange(n), 5), data="drawn"
        )
        return measured, lambda weights: weights @ drop / weights.sum(axis=1)


@dataclass(frozen=True)
class Uneven:
    """Units of one sample, and one in twenty of a hundred; of the large ones a share is lost as a whole."""

    figure: str
    lost: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    @property
    def discordance(self) -> float:
        """Share of units."""
        return self.lost / 20

    @property
    def limit(self) -> float:
        """Share of samples."""
        return self.lost * 100 / (19 + 100)

    def finest(self, n: int) -> float:
        """None is refused: the gate knows how many units there are, and not how large they are, before it measures."""
        return 0.0

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        size = np.where(np.arange(n) % 20 == 0, 100, 1)
        changed = (size > 1) & (random.random(n) < self.lost)
        won = changed & level & (random.random(n) < 0.5)
        unit = np.repeat(np.arange(n), size)
        drop = (changed & ~won).astype(float) - won
        measured = Pairs(outcomes_reference=~won[unit], outcomes=(~changed | won)[unit], units=unit, data="drawn")
        return measured, lambda weights: weights @ (drop * size) / (weights @ size)
