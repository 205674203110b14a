"""Difference and ratio of two paired proportions, from counts of 0/1 outcomes."""

from __future__ import annotations

import math

from harness.statistics.contrast import Drop, RelativeDrop
from harness.statistics.exact import exact_upper, log_error
from harness.statistics.interval import Interval, require_confidence, require_counts

METHOD = "exact unconditional"


def proportion_difference(won: int, lost: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact bounds of the drop p_float - p_compressed.

    Args:
        won: pairs where the compressed model is right and the float model wrong.
        lost: pairs where the float model is right and the compressed model wrong.
        n: all pairs, concordant ones included.
        confidence: of each bound.

    Returns:
        The interval of the drop, in [-1, 1].

    Raises:
        ValueError: for impossible counts or confidence.
    """
    require_confidence(confidence)
    require_counts(n, won=won, lost=lost)
    upper, lower = _drop_upper(won, lost, n, confidence), -_drop_upper(lost, won, n, confidence)
    return Interval((lost - won) / n, lower, upper, confidence, METHOD)


def proportion_ratio(won: int, lost: int, both: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact bounds of the ratio p_compressed / p_float, also called recovery.

    The test is conditional on how many pairs at least one model has right, and unconditional among those.

    Args:
        won: pairs where the compressed model is right and the float model wrong.
        lost: pairs where the float model is right and the compressed model wrong.
        both: pairs that both models have right.
        n: all pairs.
        confidence: of each bound.

    Returns:
        The interval of the ratio, in [0, infinity]; (0, infinity) with an estimate of NaN where no pair is right.

    Raises:
        ValueError: for impossible counts or confidence.
    """
    require_confidence(confidence)
    require_counts(n, won=won, lost=lost, both=both)
    telling = won + lost + both
    if telling == 0:
        return Interval(math.nan, 0.0, math.inf, confidence, METHOD)
    estimate = (both + won) / (both + lost) if both + lost else math.inf
    lower = 1 / _odds(exact_upper(RelativeDrop(), won, lost, telling, confidence))
    upper = _odds(exact_upper(RelativeDrop(), lost, won, telling, confidence))
    return Interval(estimate, lower, upper, confidence, METHOD)


def concordant_upper(n: int, confidence: float) -> float:
    """The drop's bound with no discordant pair, in closed form: (1 - bound)^n is the error rate left for it."""
    return -math.expm1(log_error(confidence) / n)


def _drop_upper(won: int, lost: int, n: int, confidence: float) -> float:
    return exact_upper(Drop(), won, lost, n, confidence) if won or lost else concordant_upper(n, confidence)


def _odds(relative: float) -> float:
    """From (p - q) / (p + q) to p / q."""
    return (1 + relative) / (1 - relative) if relative < 1 else math.inf
