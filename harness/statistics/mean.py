"""Means of per-sample scores: a bound that expects a unit worse than those seen.

Give each sampling unit an exponential weight, and one more to a unit that was not seen and is as bad as any. The
bound is the quantile of the weighted mean. For 0/1 scores it is the Clopper-Pearson bound; for scores within a known
reach no distribution is known that breaks it (Learned-Miller and Thomas 2019). It never undercuts Student's t; where
the reach is not known but judged by what was seen, Student's quantile is moved as far as the skewness asks (Hall 1992),
for his own bound is passed too often where a few units are far worse than most.

The quantile needs no resampling: the chance that a sum of weighted exponentials is positive has a saddlepoint
approximation, within 0.4 % of the Clopper-Pearson bound from 5 units on, and on its safe side.

Hall (1992), On the removal of skewness by transformation. Journal of the Royal Statistical Society B 54, 221-228.
Learned-Miller and Thomas (2019), A new confidence interval for the mean of a bounded random variable. arXiv:1905.06208.
Lugannani and Rice (1980), Saddle point approximation for the distribution of the sum of independent random variables.
Advances in Applied Probability 12, 475-490.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit

from harness.statistics.interval import FloatArray, IntArray, Interval, finite, require_confidence

METHOD = "Dirichlet bound"
STRAIGHT = 1e-6  # a skewness too small to divide by


def mean_difference(
    reference: npt.ArrayLike,
    value: npt.ArrayLike,
    units: IntArray | None = None,
    confidence: float = 0.95,
    reach: float | None = None,
) -> Interval:
    """Bounds of the drop mean(reference) - mean(value) of paired scores.

    Args:
        reference: the float model's score of each sample, shape [n].
        value: the compressed model's score of each sample, shape [n].
        units: the sampling unit (photo, window, document) of each sample, shape [n]; None when each is its own.
        confidence: of each bound.
        reach: how far from zero the drop of a sample can lie: 1 for scores within [0, 1]. None judges how far an
            unseen unit may lie from the mean by the distances seen and, where few units differ, by the range of the
            scores.

    Returns:
        The interval of the drop; infinite bounds where one unit is all there is.

    Raises:
        ValueError: for unequal shapes, no samples, non-finite scores or an impossible confidence.
    """
    require_confidence(confidence)
    before, after, size = unit_sums(reference, value, units)
    return _drop(before, after, size, confidence, reach)


def total_difference(
    reference: npt.ArrayLike,
    value: npt.ArrayLike,
    size: npt.ArrayLike,
    units: IntArray | None = None,
    confidence: float = 0.95,
    reach: float | None = None,
) -> Interval:
    """Bounds of the drop of a mean over parts of samples, such as tokens of texts, of which totals are known.

    The mean is the sum of all totals over the sum of all sizes. With sizes of 1 it is `mean_difference`.

    Args:
        reference: the float model's total over the parts of each sample, shape [n].
        value: the compressed model's, shape [n].
        size: how many parts each sample has, shape [n].
        units: the sampling unit of each sample, shape [n]; None when each is its own.
        confidence: of each bound.
        reach: as for `mean_difference`, of a part.

    Returns:
        The interval of the drop; infinite bounds where one unit is all there is.

    Raises:
        ValueError: as `mean_difference`, and where a unit has no part.
    """
    require_confidence(confidence)
    before, after, _ = unit_sums(reference, value, units)
    parts, _, _ = unit_sums(size, size, units)
    if parts.shape != before.shape or (parts <= 0).any():
        raise ValueError("every unit needs parts that its total is over")
    return _drop(before, after, parts, confidence, reach)


def mean_ratio(
    reference: npt.ArrayLike,
    value: npt.ArrayLike,
    units: IntArray | None = None,
    confidence: float = 0.95,
    reach: float | None = None,
) -> Interval:
    """Bounds of mean(value) / mean(reference) of paired scores that are positive on average.

    Args:
        reference: the float model's score of each sample, shape [n].
        value: the compressed model's score of each sample, shape [n].
        units: the sampling unit of each sample, shape [n]; None when each is its own.
        confidence: of each bound.
        reach: how large a score can be, none being below zero: 1 for shares. None judges as `mean_difference` does.

    Returns:
        The interval of the ratio; infinite bounds where one unit is all there is.

    Raises:
        ValueError: as `mean_difference`, and where the reference scores of a unit add up to less than zero, or those
            of all units to no more than zero. A unit of zero is fine: a share may be.
    """
    require_confidence(confidence)
    before, after, size = unit_sums(reference, value, units)
    if (before < 0).any() or before.sum() <= 0:
        raise ValueError("a ratio needs reference scores that are positive; bound the difference instead")
    at = after.sum() / before.sum()
    # All of the one model and none of the other, either way. Where float has none of it, an unseen unit adds nothing to
    # what is divided by; where float has all of it, no less than the mean, and to take the mean errs outward.
    reaches = (reach, float(at) * reach) if reach is not None else None
    added = (0.0, float(before.mean())) if reach is not None else None
    return _interval(after, before, _scores(before, after, size), size, confidence, reaches, added)


def _drop(before: FloatArray, after: FloatArray, size: FloatArray, confidence: float, reach: float | None) -> Interval:
    """Interval of the drop of a mean over what `size` counts."""
    at = float((before - after).sum() / size.sum())
    reaches = (max(0.0, reach - at), max(0.0, reach + at)) if reach is not None else None
    return _interval(before - after, size, _scores(before, after, size), size, confidence, reaches)


def unit_sums(
    reference: npt.ArrayLike, value: npt.ArrayLike, units: IntArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums of the two scores and the number of samples, by unit."""
    before, after = finite("reference", reference), finite("value", value)
    if before.shape != after.shape:
        raise ValueError(f"reference holds {before.size} scores, value {after.size}: they must pair up")
    if units is None:
        return before, after, np.ones_like(before)
    if np.shape(units) != before.shape:
        raise ValueError(f"units names {np.size(units)} samples, the scores are {before.size}")
    _, unit = np.unique(units, return_inverse=True)

    def total(scores: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(unit, scores), dtype=np.float64)

    return total(before), total(after), total(np.ones_like(before))


def _scores(before: FloatArray, after: FloatArray, size: FloatArray) -> FloatArray:
    """Mean score of every unit, of both models."""
    return np.concatenate([before / size, after / size])


def judged_reach(numerator: FloatArray, denominator: FloatArray, scores: FloatArray, size: FloatArray) -> float:
    """How far from its expectation the sum over an unseen unit may lie, judged by those seen.

    The farthest seen, and beyond it towards the range of the scores by 1 / (k + 1), where k units differ from the
    typical one: that is the chance that the next such unit is farther out than all of those k. How large it is follows
    from them too, and from the largest of all: where none differs, it may be that one.
    """
    deviation = numerator - numerator.sum() / denominator.sum() * denominator
    largest = float(np.abs(scores).max())
    rounding = 1e-12 * largest
    # What is typical is a share of the denominator: where it is a score, units that both models answer alike lie apart
    # from the mean ratio by shares of scores of their own, and none of them differs.
    counted = denominator > 0
    typical = float(np.median(numerator[counted] / denominator[counted]))
    differs = np.abs(numerator - typical * denominator) > rounding * size
    differ = int(differs.sum())
    next_size = float(size[differs].sum() + size.max()) / (differ + 1)
    width = float(np.ptp(scores))
    span = (width if width > rounding else largest or math.inf) * next_size
    farthest = float(np.abs(deviation).max()) if differ else 0.0
    return farthest + max(span - farthest, 0.0) / (differ + 1)


def _interval(
    numerator: FloatArray,
    denominator: FloatArray,
    scores: FloatArray,
    size: FloatArray,
    confidence: float,
    reaches: tuple[float, float] | None,
    added: tuple[float, float] | None = None,
) -> Interval:
    """Interval of sum(numerator) / sum(denominator), both by unit.

    Args:
        numerator: shape [units].
        denominator: shape [units].
        scores: mean score of every unit, of both models.
        size: what the sums of each unit are over.
        confidence: of each bound.
        reaches: how far above and below its expectation a score can lie; None judges both by what was seen.
        added: what a unit that lies so far above, and below, adds to the denominator; None for the mean of those seen.
    """
    estimate = float(numerator.sum() / denominator.sum())
    if len(size) < 2:
        return Interval(estimate, -math.inf, math.inf, confidence, METHOD)
    judged = reaches is None
    if reaches is None:
        above = below = judged_reach(numerator, denominator, scores, size)
    else:
        # Which unit was not seen is not known: the largest moves the mean most.
        above, below = (reach * float(size.max()) for reach in reaches)
    higher, lesser = added if added is not None else (float(denominator.mean()),) * 2
    upper = _upper(numerator, denominator, above, higher, confidence, skewed=judged)
    lower = -_upper(-numerator, denominator, below, lesser, confidence, skewed=judged)
    return Interval(estimate, lower, upper, confidence, METHOD)


def _upper(
    numerator: FloatArray, denominator: FloatArray, reach: float, added: float, confidence: float, *, skewed: bool
) -> float:
    """The larger of Student's bound, minding skewness or not, and the Dirichlet bound.

    Args:
        numerator: shape [units].
        denominator: shape [units].
        reach: how far above its expectation the sum over an unseen unit may lie.
        added: what that unit adds to the denominator.
        confidence: one-sided.
        skewed: whether Student's quantile minds skewness.
    """
    units, alpha = len(numerator), 1 - confidence
    estimate = float(numerator.sum() / denominator.sum())
    if reach == math.inf:
        return math.inf
    if reach <= 0:
        return estimate  # as far as it can lie
    # In units of the reach, so that scores of any scale meet the same rounding.
    error = (numerator - estimate * denominator) / reach
    quantile = skewed_quantile(error, confidence) if skewed else float(stdtrit(units - 1, confidence))
    student = quantile * math.sqrt(units / (units - 1) * float(error @ error))
    share = float(denominator.mean())

    def excess(above: float) -> float:
        return positive_chance(np.append(error - above * denominator, 1 - above * added)) - alpha

    low, step = 0.0, 1 / (share * units)
    while excess(low + step) > 0:
        low, step = low + step, 2 * step
    tolerance = 1e-6 * step
    dirichlet = float(brentq(excess, low, low + step, xtol=tolerance)) + tolerance
    return estimate + reach * max(student / float(denominator.sum()), dirichlet)


def skewed_quantile(error: FloatArray, confidence: float) -> float:
    """How many standard errors above the mean the bound lies: Student's quantile, or more where errors are skewed.

    Hall's transformation T + g T² / 3 + g² T³ / 27 + g / 6 of Student's T is free of skewness to the first order, g
    being the skewness over the root of n; here it is inverted. Errors skewed the other way would allow less, which is
    not taken.

    Args:
        error: of each unit, adding up to zero, shape [n] with n > 1.
        confidence: one-sided.
    """
    units = len(error)
    quantile = float(stdtrit(units - 1, confidence))
    variance = float(error @ error) / (units - 1)
    skewness = float((error**3).mean()) / variance**1.5 if variance > 0 else 0.0
    if skewness < STRAIGHT:
        return quantile
    slant = skewness / math.sqrt(units)
    return max(quantile, 3 / slant * (1 - float(np.cbrt(1 - slant * (quantile + slant / 6)))))


def positive_chance(weights: FloatArray) -> float:
    """P(sum of weight x unit exponential > 0), by the saddlepoint formula of Lugannani and Rice.

    Args:
        weights: shape [n].
    """
    most, least = float(weights.max()), float(weights.min())
    if most <= 0 or least >= 0:
        return float(most > 0)

    def slope(tilt: float) -> float:
        return float((weights / (1 - tilt * weights)).sum())

    edge = 1 - 1e-12
    tilt = float(brentq(slope, edge / least, edge / most, xtol=1e-14 * (1 / most - 1 / least)))
    shrunk = 1 - tilt * weights
    root = math.copysign(math.sqrt(max(2 * float(np.log(shrunk).sum()), 0.0)), tilt)
    scaled = tilt * math.sqrt(float(((weights / shrunk) ** 2).sum()))
    if abs(root) < 1e-4:
        return 0.5
    density = math.exp(-root * root / 2) / math.sqrt(2 * math.pi)
    return float(ndtr(-root)) + density * (1 / scaled - 1 / root)
