"""Critical values for looking more than once.

A test that may stop at each of several looks spends its error rate bit by bit: by the time the share t of the sample
is in, it has spent alpha * log(1 + (e - 1) t), which is close to Pocock's constant boundary. The critical value of a
look is the one at which a Brownian motion that got so far crosses with just the error that this look may spend.

Lan and DeMets (1983), Discrete sequential boundaries for clinical trials. Biometrika 70, 659-663.
Armitage, McPherson and Rowe (1969), Repeated significance tests on accumulating data. JRSS A 132, 235-244.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from harness.statistics.interval import FloatArray

GRID = 801


def pocock_spending(share: float, alpha: float) -> float:
    """Error spent when `share` of the sample is in: Lan and DeMets' function for Pocock's boundary."""
    return alpha * math.log1p((math.e - 1) * min(share, 1.0))


@lru_cache(maxsize=256)
def critical_values(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """One-sided critical values of the standardized statistic at each look.

    Args:
        shares: of the full sample that each look has, rising to 1.
        alpha: one-sided error rate over all looks.

    Returns:
        As many values as shares.
    """
    values: list[float] = []
    path, before, spent = _Path(np.zeros(1), np.ones(1)), 0.0, 0.0
    for share in shares:
        due = pocock_spending(share, alpha)
        boundary = path.boundary(share - before, due - spent)
        values.append(boundary / math.sqrt(share))
        path = path.below(boundary, share, share - before)
        before, spent = share, due
    return tuple(values)


@dataclass(frozen=True)
class _Path:
    """A Brownian motion that has crossed no boundary yet: mass of its values on a grid."""

    at: FloatArray
    mass: FloatArray

    def boundary(self, step: float, error: float) -> float:
        """The value that it exceeds with the chance `error` after `step` more of the sample."""

        def excess(value: float) -> float:
            return float(self.mass @ ndtr((self.at - value) / math.sqrt(step))) - error

        return float(brentq(excess, 0.0, 12.0, xtol=1e-10))

    def below(self, boundary: float, share: float, step: float) -> _Path:
        """The paths that stay below it."""
        grid = np.linspace(-8 * math.sqrt(share), boundary, GRID)
        kernel = np.exp(-((grid[:, None] - self.at) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
        mass = kernel @ self.mass * (grid[1] - grid[0])
        mass[[0, -1]] /= 2  # trapezoid rule
        return _Path(grid, mass)
