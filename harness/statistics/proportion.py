"""Difference of two paired proportions: an exact unconditional bound.

For a hypothesised drop, the chance of a Tango score as low as the observed one is summed over the trinomial sample
space and maximised over the nuisance parameter, the share of discordant pairs, within a confidence interval of its
own (Berger and Boos). The bound is where this p-value reaches the error rate, so that at most that share of samples
puts it on the wrong side of the truth, at every n and with any number of discordant pairs.

Berger and Boos (1994), P values maximized over a confidence set for the nuisance parameter. JASA 89, 1012-1016.
Hsueh, Liu and Chen (2001), Unconditional exact tests for equivalence or noninferiority for paired binary endpoints.
Biometrics 57, 478-483.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, gammaln, ndtri, xlog1py, xlogy

from harness.statistics.interval import FloatArray, Interval, require_confidence, require_counts
from harness.statistics.score import constrained_won, score, score_upper, variance

NUISANCE_SHARE = 0.002  # of the error rate, spent on the interval of the nuisance parameter
TAIL = 5.5  # standard deviations of the won count that are summed; what lies beyond holds less than 1e-7
PRECISION = 1e-4  # of the distance from estimate to bound; added, so that the bound errs outward


def proportion_difference(won: int, lost: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact bounds of the drop p_float - p_compressed from paired 0/1 outcomes.

    Args:
        won: pairs where compressed is right and float is wrong.
        lost: pairs where float is right and compressed is wrong.
        n: all pairs, concordant ones included.
        confidence: of each bound.

    Returns:
        The interval of the drop, in [-1, 1].

    Raises:
        ValueError: for impossible counts or confidence.
    """
    require_confidence(confidence)
    require_counts(n, won=won, lost=lost)
    upper = exact_upper(won, lost, n, confidence)
    lower = -exact_upper(lost, won, n, confidence)
    return Interval((lost - won) / n, lower, upper, confidence, "exact unconditional")


@lru_cache(maxsize=65536)
def exact_upper(won: int, lost: int, n: int, confidence: float) -> float:
    """The upper bound of the drop: the largest drop that the counts do not refute."""
    if won == lost == 0:
        return concordant_upper(n, confidence)
    alpha = 1 - confidence
    target = float(ndtri(alpha))

    def excess(drop: float) -> float:
        return float(ndtri(max(p_value(won, lost, n, drop, alpha), 1e-300))) - target

    estimate, guess = (lost - won) / n, score_upper(won, lost, n, confidence)
    if lost == n:
        return 1.0
    width = max(guess - estimate, 1 / n)
    step = width / (4 + (won + lost) ** 0.5)
    low = max(guess - step, (guess + estimate) / 2)
    while excess(low) <= 0:
        low = (low + estimate) / 2
    high = min(guess + step, 1 - 1e-12)
    while excess(high) > 0:
        low, high = high, min(high + step, 1 - 1e-12)
        if low == high:
            return 1.0
    return min(float(brentq(excess, low, high, xtol=PRECISION * width)) + PRECISION * width, 1.0)


def concordant_upper(n: int, confidence: float) -> float:
    """The upper bound with no discordant pair: (1 - bound)^n is the error rate, less the nuisance parameter's share."""
    return -math.expm1(log_error(confidence) / n)


def log_error(confidence: float) -> float:
    """Logarithm of the error rate that is left for the bound itself."""
    return math.log((1 - confidence) * (1 - NUISANCE_SHARE))


def p_value(won: int, lost: int, n: int, drop: float, alpha: float) -> float:
    """Exact p-value of the counts where the true drop is `drop` or more.

    Args:
        won: pairs won.
        lost: pairs lost.
        n: all pairs.
        drop: hypothesised P(lost) - P(won), in (-1, 1).
        alpha: error rate of the test that the p-value serves; a share of it bounds the nuisance parameter.

    Returns:
        A probability; at most `alpha` in at most a share `alpha` of samples, whatever the discordance.
    """
    spent = NUISANCE_SHARE * alpha
    discordance = discordance_range(won + lost, n, abs(drop), spent)
    return float(tail_probability(won, lost, n, drop, discordance).max()) + spent


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


def tail_probability(won: int, lost: int, n: int, drop: float, discordance: FloatArray) -> FloatArray:
    """P(score <= observed score) under the hypothesis, for each discordance (shape kept)."""
    won_rate = (discordance - drop) / 2
    lost_rate = (discordance + drop) / 2
    spread = TAIL * (np.sqrt(n * won_rate.max() * (1 - won_rate.min())) + TAIL / 2)
    first = max(0, int(n * won_rate.min() - spread))
    last = min(n, int(n * won_rate.max() + spread))
    wins = np.arange(first, last + 1, dtype=np.float64)
    most = most_lost(wins, n, drop, float(score(won, lost, n, drop)))
    wins, most = wins[most >= 0], most[most >= 0]
    chance = binomial(wins, n, won_rate[:, None])
    # Chance that a pair which is not won is not lost either; above 0, so that betainc(0, b, x) is the 1 it should be.
    tied = np.clip(1 - lost_rate / np.maximum(1 - won_rate, 1e-300), 1e-300, 1.0)
    return np.asarray((chance * betainc(n - wins - most, most + 1, tied[:, None])).sum(axis=1))


def binomial(successes: FloatArray, n: int, rate: FloatArray) -> FloatArray:
    """Binomial probabilities, broadcast."""
    ways = gammaln(n + 1) - gammaln(successes + 1) - gammaln(n - successes + 1)
    return np.asarray(np.exp(ways + xlogy(successes, rate) + xlog1py(n - successes, -rate)))


def most_lost(wins: FloatArray, n: int, drop: float, bound: float) -> FloatArray:
    """The largest lost count whose score stays at or below `bound`, for each won count; -1 where there is none.

    The score rises with the lost count (Barnard convexity), so that a fixed point of its definition is near
    the count sought, and two looks at its neighbours settle the rounding.
    """
    tie = bound + 1e-9
    lost = wins + n * drop
    for _ in range(4):
        won_rate = constrained_won(wins, np.clip(lost, 0, n), n, drop)
        lost = wins + n * drop + bound * np.sqrt(n * variance(won_rate, drop))
    lost = np.clip(np.floor(lost), -1, n - wins)
    while (room := (lost < n - wins) & (score(wins, lost + 1, n, drop) <= tie)).any():
        lost = lost + room
    while (over := (lost >= 0) & (score(wins, np.maximum(lost, 0), n, drop) > tie)).any():
        lost = lost - over
    return lost
