"""Places that two models see with noise: for the correlation of their likeness with the true one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from accuracy.decided import Drops
from harness.measurement import Base, Correlation


@dataclass(frozen=True)
class Embeddings:
    """Samples with a true place in 8 dimensions, that each model sees with noise; all pairs are correlated.

    With noise of variance s² a coordinate, independent of the place, Pearson's coefficient of the inner products with
    the true ones is 1 / (1 + s²).
    """

    figure: str
    discordance: float = 1.0
    before: float = 0.2
    after: float = 0.3
    sizes: tuple[int, ...] = (20, 100)
    why: str = "the pairs of more embeddings take too long for thousands of sets"

    def finest(self, n: int) -> float:
        """None is refused: a coefficient has no known swing."""
        return 0.0

    @property
    def limit(self) -> float:
        """Fall of the coefficient."""
        return 1 / (1 + self.before) - 1 / (1 + self.after)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        places, one, other = random.standard_normal((3, n, 8))
        after = self.before if level else self.after
        # What the float model sees wrongly the compressed one sees wrongly too, and more.
        shared = math.sqrt(self.before) * one
        mine = shared if not level else math.sqrt(self.before) * (0.9 * one + math.sqrt(0.19) * other)
        seen = [places + shared, places + mine + (0 if level else math.sqrt(after - self.before) * other)]
        rows, columns = np.triu_indices(n, 1)
        truth, before, now = ((each @ each.T)[rows, columns] for each in (places, *seen))
        measured = Correlation(
            coefficient="pearson", first=rows, second=columns, truth=truth, similarities_reference=before,
            similarities=now, data="drawn",
        )  # fmt: skip

        def drops(weights: np.ndarray) -> np.ndarray:
            pair = weights[:, rows] * weights[:, columns]

            def coefficient(side: np.ndarray) -> np.ndarray:
                total = pair.sum(axis=1)
                means = [pair @ each / total for each in (side, truth)]
                moments = [pair @ each / total for each in (side * truth, side * side, truth * truth)]
                spread = np.sqrt((moments[1] - means[0] ** 2) * (moments[2] - means[1] ** 2))
                return np.asarray((moments[0] - means[0] * means[1]) / spread)

            return coefficient(before) - coefficient(now)

        return measured, drops
