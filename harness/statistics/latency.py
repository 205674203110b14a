"""Ratio of median latencies from interleaved blocks.

A block holds some calls of the float model and some of the compressed one, taken close in time, so whatever slows the
machine for longer than a block slows both. Blocks are therefore what the bootstrap draws, always in pairs.

Davison and Hinkley (1997), Bootstrap Methods and their Application, chapters 2 and 5. Cambridge University Press.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from harness.statistics.interval import FloatArray, IntArray, Interval, finite, require_confidence

CLOCK_TICK = 1.0  # nanoseconds: no median is known more finely


def median_ratio(
    reference_blocks: npt.ArrayLike,
    value_blocks: npt.ArrayLike,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 1000,
) -> Interval:
    """Bounds of median(value) / median(reference).

    The standard error of the log ratio comes from the bootstrap over blocks; the bounds stand that many Student
    quantiles (one degree of freedom less than blocks) from it, so that they exist at any confidence.

    Args:
        reference_blocks: durations of the float model's calls in nanoseconds, shape [blocks, calls].
        value_blocks: durations of the compressed model's calls in nanoseconds, shape [blocks, calls of its own].
        confidence: of each bound.
        seed: of the resampling; the same input and seed give the same bounds.
        resamples: bootstrap resamples.

    Returns:
        The interval of the ratio; with one block it is (0, infinity).

    Raises:
        ValueError: for shapes that do not pair up, durations that are not positive and finite, an impossible
            confidence.
    """
    require_confidence(confidence)
    reference = finite("reference_blocks", reference_blocks, dimensions=2)
    value = finite("value_blocks", value_blocks, dimensions=2)
    blocks = len(reference)
    if len(value) != blocks:
        raise ValueError(f"{blocks} reference blocks cannot pair with {len(value)} value blocks")
    if min(reference.min(), value.min()) <= 0:
        raise ValueError("a duration is not positive: the clock stood still or went backwards")
    medians = float(np.median(reference)), float(np.median(value))
    ratio = medians[1] / medians[0]
    if blocks < 2:
        return Interval(ratio, 0.0, math.inf, confidence, "block bootstrap")
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    logs = np.log(weighted_medians(value, draws) / weighted_medians(reference, draws))
    tick = math.hypot(*(CLOCK_TICK / median for median in medians))
    error = math.hypot(float(logs.std(ddof=1)), tick) * math.sqrt(blocks / (blocks - 1))
    factor = math.exp(min(float(stdtrit(blocks - 1, confidence)) * error, 700.0))
    return Interval(ratio, ratio / factor, ratio * factor, confidence, "block bootstrap")


def weighted_medians(blocks: FloatArray, draws: IntArray) -> FloatArray:
    """The median of all calls when block b is taken draws[r, b] times, for each r.

    Args:
        blocks: shape [blocks, calls].
        draws: shape [resamples, blocks]; every row adds up to the number of blocks.

    Returns:
        Medians, shape [resamples].
    """
    order = np.argsort(blocks, axis=None, kind="stable")
    ascending = blocks.ravel()[order]
    # counts[j, b]: how many calls of block b are among the first j + 1 in ascending order.
    counts = np.cumsum(order[:, None] // blocks.shape[1] == np.arange(len(blocks)), axis=0)
    middle = [
        ascending[_first_reaching(counts, draws, rank)] for rank in ((blocks.size + 1) // 2, blocks.size // 2 + 1)
    ]
    return np.asarray((middle[0] + middle[1]) / 2)


def _first_reaching(counts: IntArray, draws: IntArray, rank: int) -> IntArray:
    """By bisection, the first row of `counts` whose sum weighted with each row of draws is at least `rank`."""
    low, high = np.zeros(len(draws), dtype=np.int64), np.full(len(draws), len(counts) - 1)
    while (low < high).any():
        row = (low + high) // 2
        enough = np.einsum("rb,rb->r", counts[row], draws) >= rank
        low, high = np.where(enough, low, row + 1), np.where(enough, row, high)
    return low
