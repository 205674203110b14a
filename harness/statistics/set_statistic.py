"""Drops of statistics of a whole set: F1, macro precision, mean average precision.

The Bayesian bootstrap gives every sampling unit an exponential weight, so no unit ever vanishes and no class is left
without a sample. A resample of a set with no discordant unit shows no drop, however often it is taken: so one more
unit takes part, which was not seen and moves the statistic as far against the claim as a unit does. For a statistic
that is a share this is the Clopper-Pearson bound.

Rubin (1981), The Bayesian bootstrap. Annals of Statistics 9, 130-134.
Learned-Miller and Thomas (2019), A new confidence interval for the mean of a bounded random variable. arXiv:1905.06208.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.statistics.interval import FloatArray, IntArray, Interval, require_confidence

Statistic = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
METHOD = "Bayesian bootstrap with an unseen unit"
CHUNK = 2_000_000  # weights at a time
BEYOND = 20  # draws beyond a bound, at least


def statistic_difference(
    statistic: Statistic,
    multiplicity: IntArray,
    confidence: float = 0.95,
    seed: int = 0,
    swing: float | tuple[float, float] | None = 1.0,
    resamples: int = 4000,
) -> Interval:
    """Bounds of the drop statistic(float) - statistic(compressed) on the same set.

    Args:
        statistic: from weights of shape [resamples, kinds] to the statistic of the float and of the compressed
            model, each of shape [resamples]. A weight says how often the units of a kind count, all of them together;
            the statistic is to be the same when all weights are multiplied by one number.
        multiplicity: how many sampling units there are of each kind, shape [kinds]: ones where each unit is its own
            kind. Units that the statistic cannot tell apart are better counted as one kind.
        confidence: of each bound.
        seed: of the weights; the same input and seed give the same bounds.
        swing: how far one unit can move the statistic, as a multiple of its share of all units: 1 for a share, more
            for an average over classes. Of two, the first is of a unit that the compressed model loses, for the upper
            bound, and the second of one that it wins, for the lower. None: the unit that was not seen is among the
            kinds already.
        resamples: how often weights are drawn, at least; as often as it takes for some draws to lie beyond each bound.

    Returns:
        The interval of the drop, within that of any higher confidence; infinite bounds where one unit is all there is.

    Raises:
        ValueError: without a unit, or when the statistic is not finite for some weights.
    """
    require_confidence(confidence)
    multiplicity = np.asarray(multiplicity)
    if multiplicity.ndim != 1 or multiplicity.size == 0 or (multiplicity < 1).any():
        raise ValueError("multiplicity must be a non-empty list of positive counts")
    estimate = float(_drops(statistic, multiplicity[None].astype(np.float64))[0])
    if multiplicity.sum() < 2:
        return Interval(estimate, -math.inf, math.inf, confidence, METHOD)
    # Streams of their own: more draws then extend the fewer of a lower confidence, and bounds are nested.
    generator, other = (np.random.default_rng((seed, stream)) for stream in (0, 1))
    # Of fewer draws the outermost would stand for the bound, whatever the confidence.
    resamples = max(resamples, math.ceil(BEYOND / (1 - confidence)))
    chunk = max(1, CHUNK // multiplicity.size)
    drops, unseen = [], []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = generator.standard_gamma(multiplicity, size=(size, multiplicity.size))
        extra = other.standard_exponential(size)
        drops.append(_drops(statistic, weights))
        unseen.append(extra / (extra + weights.sum(axis=1)))
    drop, share = np.concatenate(drops), np.concatenate(unseen)
    if swing is None:
        share, swing = np.zeros_like(share), 0.0
    falls, rises = swing if isinstance(swing, tuple) else (swing, swing)
    upper = np.quantile((1 - share) * drop + share * falls, confidence, method="higher")
    lower = np.quantile((1 - share) * drop - share * rises, 1 - confidence, method="lower")
    return Interval(estimate, float(lower), float(upper), confidence, METHOD)


def _drops(statistic: Statistic, weights: FloatArray) -> FloatArray:
    reference, value = statistic(weights)
    drop = np.asarray(reference - value, dtype=np.float64)
    if drop.shape != weights.shape[:1] or not np.isfinite(drop).all():
        raise ValueError("the statistic is not one finite number for each row of weights")
    return drop
