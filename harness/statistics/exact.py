"""The exact unconditional test of a contrast between two paired proportions, and its bound.

For a hypothesised contrast, the chance of a score as low as the observed one is summed over the trinomial sample space
and maximised over the nuisance parameter within a confidence interval of its own (Berger and Boos). The bound is where
this p-value reaches the error rate. At most that share of samples puts it on the wrong side of the truth, whatever
n, the discordance and the truth are.

Berger and Boos (1994), P values maximized over a confidence set for the nuisance parameter. JASA 89, 1012-1016.
Hsueh, Liu and Chen (2001), Unconditional exact tests for equivalence or noninferiority for paired binary endpoints.
Biometrics 57, 478-483.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, gammaln, ndtri, xlog1py, xlogy

from harness.statistics.contrast import Contrast, score_upper
from harness.statistics.interval import FloatArray

NUISANCE_SHARE = 0.002  # of the error rate, spent on the interval of the nuisance parameter
TAIL = 5.5  # standard deviations of the won count that are summed; what lies beyond holds less than 1e-7
NEGLIGIBLE = 1e-10  # a chance not worth an evaluation of the incomplete beta function
PRECISION = 1e-4  # of the distance from estimate to bound; added, so that the bound errs outward
EDGE = 1 - 1e-12


def log_error(confidence: float) -> float:
    """Logarithm of the error rate that is left for the bound itself."""
    return math.log((1 - confidence) * (1 - NUISANCE_SHARE))


@lru_cache(maxsize=65536)
def exact_upper(contrast: Contrast, won: int, lost: int, n: int, confidence: float) -> float:
    """The upper bound of the contrast: the largest that the counts do not refute.

    Args:
        contrast: difference or ratio.
        won: pairs won.
        lost: pairs lost.
        n: all pairs that the contrast counts.
        confidence: one-sided.

    Returns:
        A contrast in [-1, 1].
    """
    alpha = 1 - confidence
    target = float(ndtri(alpha))

    @cache
    def excess(null: float) -> float:
        return float(ndtri(max(p_value(contrast, won, lost, n, null, alpha), 1e-300))) - target

    estimate, guess = contrast.estimate(won, lost, n), score_upper(contrast, won, lost, n, confidence)
    if estimate >= EDGE:
        return 1.0
    width = max(guess - estimate, 1 / n)
    step = width / (4 + (won + lost) ** 0.5)
    low, high = max(guess - step, (guess + estimate) / 2), min(guess + step, EDGE)
    while excess(low) <= 0:
        low = (low + estimate) / 2
    while excess(high) > 0:
        low, high = high, min(high + step, EDGE)
        if low == high:
            return 1.0
    return min(float(brentq(excess, low, high, xtol=PRECISION * width)) + PRECISION * width, 1.0)


def p_value(contrast: Contrast, won: int, lost: int, n: int, null: float, alpha: float) -> float:
    """Exact p-value of the counts where the true contrast is `null` or more.

    Args:
        contrast: difference or ratio.
        won: pairs won.
        lost: pairs lost.
        n: all pairs that the contrast counts.
        null: hypothesised contrast, in (-1, 1).
        alpha: error rate of the test that the p-value serves; a share of it bounds the nuisance parameter.

    Returns:
        A probability; at most `alpha` in at most a share `alpha` of samples, whatever the discordance.
    """
    spent = NUISANCE_SHARE * alpha
    discordance = discordance_range(won + lost, n, contrast.least_discordance(null), spent)
    bound = float(contrast.score(won, lost, n, null))
    return float(tail_probability(contrast, n, null, bound, discordance).max()) + spent


def discordance_range(discordant: int, n: int, least: float, spent: float) -> FloatArray:
    """Grid over the Clopper-Pearson interval of the discordance, at confidence 1 - spent, not below `least`."""
    low = float(betaincinv(discordant, n - discordant + 1, spent / 2)) if discordant else 0.0
    high = float(betaincinv(discordant + 1, n - discordant, 1 - spent / 2)) if discordant < n else 1.0
    low, high = max(low, least), max(high, least)
    # The tail is the smoother in the nuisance parameter the more pairs are discordant: on 200 points the largest
    # probability is at most 2e-5 above the one found here.
    points = min(40, 4 + int(110 / (discordant + 1) ** 0.5))
    # Even steps of the square root are even steps in standard deviations of the won count.
    return least + np.linspace((low - least) ** 0.5, (high - least) ** 0.5, points) ** 2


def tail_probability(contrast: Contrast, n: int, null: float, bound: float, discordance: FloatArray) -> FloatArray:
    """P(score <= bound) under the hypothesis, for each discordance (shape kept)."""
    won_rate, lost_rate = (np.clip(rate, 0.0, 1.0) for rate in contrast.rates(discordance, null))
    spread = TAIL * (np.sqrt(n * won_rate.max() * (1 - won_rate.min())) + TAIL / 2)
    first, last = max(0, int(n * won_rate.min() - spread)), min(n, int(n * won_rate.max() + spread))
    wins = np.arange(first, last + 1, dtype=np.float64)
    most = most_lost(contrast, wins, n, null, bound)
    wins, most = wins[most >= 0], most[most >= 0]
    ways = gammaln(n + 1) - gammaln(wins + 1) - gammaln(n - wins + 1)
    chance = np.exp(ways + xlogy(wins, won_rate[:, None]) + xlog1py(n - wins, -won_rate[:, None]))
    # Chance that a pair which is not won is not lost either; above 0, so that betainc(0, b, x) is the 1 it should be.
    alike = np.clip(1 - lost_rate / np.maximum(1 - won_rate, 1e-300), 1e-300, 1.0)
    below = betainc(n - wins - most, most + 1, alike[:, None], where=chance > NEGLIGIBLE, out=np.zeros_like(chance))
    return np.asarray((chance * below).sum(axis=1))


def most_lost(contrast: Contrast, wins: FloatArray, n: int, null: float, bound: float) -> FloatArray:
    """By bisection, the largest lost count whose score is at most `bound`, for each won count; -1 where there is none.

    The score rises with the lost count (Barnard convexity).
    """
    low, high = np.full_like(wins, -1.0), n - wins
    while (low < high).any():
        middle = np.ceil((low + high) / 2)
        below = contrast.score(wins, np.maximum(middle, 0.0), n, null) <= bound + 1e-9
        low, high = np.where(below, middle, low), np.where(below, high, middle - 1)
    return low
