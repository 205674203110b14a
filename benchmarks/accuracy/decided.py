"""On which side of a limit the gate's bound lies, without working the bound out.

A bound is where a chance falls to the error rate. Whether that happens before the limit is told by one chance, at the
limit, or, where weights are drawn, mostly by a few of them. So thousands of sets can be judged; some of each cell are
held to the interval itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from accuracy.cell import ALPHA
from harness.statistics.mean import judged_reach, positive_chance, skewed_quantile

CHECKED = 20  # sets of a cell that the interval itself decides too
CLOSE = 1e-5  # share of the limit within which the interval's own rounding may decide
DRAWS = 400
FEW, MANY = 0.005, 0.12

Drops = Callable[[np.ndarray], np.ndarray]


def mean_below(
    before: np.ndarray, after: np.ndarray, size: np.ndarray, limit: float, reach: float | None = None
) -> bool:
    """Whether the bound of the drop of a mean lies below a limit.

    Args:
        before: sums of the float model's scores over each unit, shape [units].
        after: of the compressed model's.
        size: what each sum is over.
        limit: what the drop is held to.
        reach: how far from zero a score's drop can lie; None judges it by what was seen.
    """
    return _below(before - after, size, np.concatenate([before / size, after / size]), size, limit, reach)


def mean_ratio_above(before: np.ndarray, after: np.ndarray, size: np.ndarray, limit: float) -> bool:
    """Whether the bound of the ratio of two means lies above a limit, the reach of scores being judged.

    Args:
        before: as of `mean_below`.
        after: likewise.
        size: likewise.
        limit: what compressed ÷ float is held to.
    """
    # Turned over, it is an upper bound.
    return _below(-after, before, np.concatenate([before / size, after / size]), size, -limit, None)


def _below(
    numerator: np.ndarray, denominator: np.ndarray, scores: np.ndarray, size: np.ndarray, limit: float,
    reach: float | None,
) -> bool:  # fmt: skip
    units, middle = len(size), float(numerator.sum() / denominator.sum())
    error = numerator - middle * denominator
    spread = math.sqrt(units / (units - 1) * float(error @ error)) / float(denominator.sum())
    quantile = float(stdtrit(units - 1, 1 - ALPHA)) if reach is not None else skewed_quantile(error, 1 - ALPHA)
    if middle + quantile * spread >= limit:
        return False
    if reach is not None:
        above = (reach - middle) * float(size.max())
    else:
        above = judged_reach(numerator, denominator, scores, size)
    weights = np.append(
        numerator - limit * denominator, above - (limit - middle) * float(denominator.mean())
    ) / above  # fmt: skip
    return positive_chance(weights) < ALPHA


def statistic_below(
    drops: Drops, counts: np.ndarray, swing: float, limit: float, random: np.random.Generator
) -> bool | None:
    """Whether the bound of the drop of a set's statistic lies below a limit; None where a few weights cannot tell.

    The gate draws thousands of weights and passes where at most 5 % of the drops lie above the limit; of 400,
    two at most or more than 48 above tell on which side of that a set is far, with a chance of 4e-7 to be wrong.

    Args:
        drops: the drop for each row of weights of the kinds of units.
        counts: how many units there are of each kind.
        swing: how far one that was not seen moves the statistic, as a multiple of its share.
        limit: what the drop is held to.
        random: of the weights.
    """
    weights, extra = random.standard_gamma(counts, size=(DRAWS, len(counts))), random.standard_exponential(DRAWS)
    share = extra / (extra + weights.sum(axis=1))
    above = float(((1 - share) * drops(weights) + share * swing > limit).mean())
    return above <= FEW if above <= FEW or above > MANY else None


def require_same(short: bool, upper: float, limit: float) -> None:
    """Hold the short way to the interval.

    Raises:
        AssertionError: they differ, and not by rounding.
    """
    if short != (upper < limit) and abs(upper - limit) > CLOSE * abs(limit):
        raise AssertionError(f"the short cut says {short}, and the bound is {upper} at {limit}")
