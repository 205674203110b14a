"""What two paired proportions are compared by: their difference, or their ratio.

Of n pairs some are won (only the compressed model is right), some lost (only the float model is), the rest are alike.
A contrast is a number in (-1, 1), larger where the compressed model is worse. Once it is fixed by hypothesis, one
nuisance parameter is left: the discordance, P(won) + P(lost).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from harness.statistics.interval import FloatArray


class Contrast(Protocol):
    """A comparison of two paired proportions."""

    def estimate(self, won: int, lost: int, n: int) -> float:
        """Maximum likelihood estimate of the contrast."""

    def least_discordance(self, null: float) -> float:
        """The smallest discordance that the hypothesis leaves possible."""

    def rates(self, discordance: FloatArray, null: float) -> tuple[FloatArray, FloatArray]:
        """P(won) and P(lost) under the hypothesis, for each discordance."""

    def score(self, won: npt.ArrayLike, lost: npt.ArrayLike, n: int, null: float) -> FloatArray:
        """Score statistic: standard normal in a large sample under the hypothesis, very negative below it."""


@dataclass(frozen=True)
class Drop:
    """P(lost) - P(won): the difference of the proportions.

    Tango (1998), Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design. Statistics in Medicine 17, 891-908.
    """

    def estimate(self, won: int, lost: int, n: int) -> float:
        """Share lost less share won."""
        return (lost - won) / n

    def least_discordance(self, null: float) -> float:
        """Discordance of a hypothesis that all discordant pairs agree on."""
        return abs(null)

    def rates(self, discordance: FloatArray, null: float) -> tuple[FloatArray, FloatArray]:
        """P(won) and P(lost)."""
        return (discordance - null) / 2, (discordance + null) / 2

    def won_rate(self, won: npt.ArrayLike, lost: npt.ArrayLike, n: int, null: float) -> FloatArray:
        """Maximum likelihood estimate of P(won) under the hypothesis."""
        won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
        slope = null * (2 * n - lost + won) - won - lost
        root = (np.sqrt(np.maximum(slope**2 + 8 * n * won * null * (1 - null), 0.0)) - slope) / (4 * n)
        return np.asarray(np.clip(root, max(0.0, -null), (1 - null) / 2))

    def variance(self, won_rate: FloatArray, null: float) -> FloatArray:
        """Variance of one pair's loss: 1 lost, -1 won, 0 alike."""
        return 2 * won_rate + null * (1 - null)

    def score(self, won: npt.ArrayLike, lost: npt.ArrayLike, n: int, null: float) -> FloatArray:
        """Tango's statistic."""
        won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
        variance = self.variance(self.won_rate(won, lost, n, null), null)
        return np.asarray((lost - won - n * null) / np.sqrt(np.maximum(n * variance, 1e-300)))


@dataclass(frozen=True)
class RelativeDrop:
    """(p - q) / (p + q) for the float model's p and the compressed model's q: their ratio on a symmetric scale.

    Only the pairs that at least one model has right tell of the ratio; n counts those.

    Nam and Blackwelder (2002), Analysis of the ratio of marginal probabilities in a matched-pair setting. Statistics in
    Medicine 21, 689-699.
    """

    def estimate(self, won: int, lost: int, n: int) -> float:
        """Share lost less share won, over the sum of both proportions."""
        return (lost - won) / (2 * n - lost - won)

    def least_discordance(self, null: float) -> float:
        """Discordance of a hypothesis that all discordant pairs agree on."""
        return 2 * abs(null) / (1 + abs(null))

    def rates(self, discordance: FloatArray, null: float) -> tuple[FloatArray, FloatArray]:
        """P(won) and P(lost) among pairs that at least one model has right."""
        return discordance * (1 + null) / 2 - null, discordance * (1 - null) / 2 + null

    def lost_rate(self, won: npt.ArrayLike, lost: npt.ArrayLike, n: int, null: float) -> FloatArray:
        """Maximum likelihood estimate of P(lost) under the hypothesis."""
        won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
        ratio = (1 - null) / (1 + null)
        both = n - won - lost
        slope = both * (1 - ratio**2) + lost * (2 - ratio**2) + won
        root = np.sqrt(np.maximum(slope**2 - 4 * n * lost * (1 - ratio**2), 0.0))
        return np.asarray(np.clip((slope + root) / (2 * n * (1 + ratio)), max(0.0, 1 - ratio), 1 / (1 + ratio)))

    def score(self, won: npt.ArrayLike, lost: npt.ArrayLike, n: int, null: float) -> FloatArray:
        """Nam and Blackwelder's statistic."""
        won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
        lost_rate = self.lost_rate(won, lost, n, null)
        discordance = 2 * (lost_rate - null) / (1 - null)
        won_rate = np.maximum(discordance - lost_rate, 0.0)
        variance = lost_rate * (1 - null) ** 2 + won_rate * (1 + null) ** 2 + (1 - discordance) * 4 * null**2
        return np.asarray((lost - won - null * (2 * n - lost - won)) / np.sqrt(np.maximum(n * variance, 1e-300)))


def score_upper(contrast: Contrast, won: int, lost: int, n: int, confidence: float) -> float:
    """The upper bound by the score alone, in [-1, 1].

    Only asymptotic: with no discordant pair and n = 100, a true drop at Tango's bound is missed in 6.9 % of samples.
    """
    critical = -float(ndtri(confidence))

    def excess(null: float) -> float:
        return float(contrast.score(won, lost, n, null)) - critical

    low, high = max(contrast.estimate(won, lost, n), -1 + 1e-9), 1 - 1e-9
    if low >= high or excess(high) > 0:
        return 1.0
    return float(brentq(excess, low, high, xtol=1e-9))
