"""Documents whose tokens two models lose more or less on: for perplexities and their rise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from accuracy.cell import GRID, SIZES
from accuracy.decided import Drops
from harness.measurement import Base, Totals


@dataclass(frozen=True)
class Windows:
    """Documents of 50 to 400 tokens: the loss of a token rises by `rise` in a share of them, and wavers in all."""

    figure: str
    discordance: float
    rise: float
    noise: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    def finest(self, n: int) -> float:
        """None is refused: how far a token can go is not known."""
        return 0.0

    @property
    def limit(self) -> float:
        """Rise of the mean over tokens: e to it is the ratio of the perplexities."""
        return self.discordance * self.rise

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        tokens = random.integers(50, 401, n)
        moved = (random.random(n) < self.discordance) * self.rise
        if level:
            moved = moved * np.where(random.random(n) < 0.5, 1.0, -1.0)
        rise = moved + self.noise * random.standard_normal(n)
        before = tokens * (3 + 0.5 * random.standard_normal(n))
        measured = Totals(
            totals_reference=before, totals=before + tokens * rise, tokens=tokens, units=np.arange(n), data="drawn",
            exponential=True,
        )  # fmt: skip
        return measured, lambda weights: weights @ (tokens * rise) / (weights @ tokens)


@dataclass(frozen=True)
class Rises(Windows):
    """The same documents; what is bounded is by how much the perplexity rises, of which float's is an estimate too."""

    @property
    def limit(self) -> float:
        """Rise of the perplexity, from e³."""
        return math.exp(3) * math.expm1(super().limit)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        measured, _ = super().draw(n, level=level, random=random)
        assert isinstance(measured, Totals)
        sides, tokens = (measured.totals_reference, measured.totals), measured.tokens

        def rises(weights: np.ndarray) -> np.ndarray:
            before, after = (np.exp(weights @ side / (weights @ tokens)) for side in sides)
            return np.asarray(after - before)

        return measured, rises
