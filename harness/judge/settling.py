"""What would settle a verdict that the measurement could not: how many more samples, where that can be said."""

from __future__ import annotations

import math

from harness.judge.figures import about
from harness.measurement import Measurement, Pairs, Timings
from harness.statistics import Interval, needed_n

# Past this many, a larger sample is no advice.
FAR = 1e9


def settling(measured: Measurement, interval: Interval, limit: float, *, drop: bool = False) -> str:
    """A clause that says what would decide an undecided claim; empty where the figure lies on its limit.

    Args:
        measured: raw values of both sides.
        interval: of the contrast that is bounded, in the sense in which `limit` bounds it.
        limit: what it is held to.
        drop: whether the contrast is a difference of both models' figures, of whose proportions more is known.
    """
    n = measured.n
    if n is None:
        return ""
    needed = _extrapolated(interval, limit, n)
    if drop and isinstance(measured, Pairs) and measured.independent and 0 < limit < 1 and interval.estimate < limit:
        discordance = (measured.lost.size + measured.won.size) / n
        needed = max(needed, needed_n(limit, interval.confidence, discordance, interval.estimate))
    if not n < needed < FAR:
        return ""
    if isinstance(measured, Timings):
        return f"; about {about(needed)} blocks would settle it, and {n} were timed: raise `measure.latency_s`"
    each_its_own = isinstance(measured, Pairs) and n == measured.outcomes.size
    return f"; about {about(needed)} {'samples' if each_its_own else 'units'} would settle it"


def _extrapolated(interval: Interval, limit: float, n: int) -> float:
    """The sample that leaves the limit outside the interval, if the estimate stays: widths shrink with its root."""
    gap = abs(limit - interval.estimate)
    half = interval.upper - interval.estimate if interval.estimate < limit else interval.estimate - interval.lower
    return n * (half / gap) ** 2 if gap > 0 and math.isfinite(half) else math.inf
