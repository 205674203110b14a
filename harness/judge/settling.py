"""What would settle a verdict that the measurement could not: how many more samples, where that can be said."""

from __future__ import annotations

from harness.judge.figures import about
from harness.measurement import Measurement
from harness.statistics import Interval

# Past this many, a larger sample is no advice.
FAR = 1e9


def settling(measured: Measurement, interval: Interval, limit: float, *, drop: bool = False) -> str:
    """A clause that says what would decide an undecided claim; empty where that cannot be said.

    Args:
        measured: raw values of both sides.
        interval: of the contrast that is bounded, in the sense in which `limit` bounds it.
        limit: what it is held to.
        drop: whether the contrast is a difference of both models' figures, of whose proportions more is known.
    """
    if measured.repeated:
        return "; the readings lie on both sides of the limit"
    n = measured.n
    if n is None:
        return ""
    if n < 2:
        return f"; it takes at least two {measured.counted_in}: one says nothing of others"
    if interval.estimate == limit:
        return "; no number of samples proves it while the figure lies on its limit"
    needed = measured.needed(interval, limit, drop=drop)
    if not n < needed < FAR:
        return ""
    asked = f"; about {about(needed)} {measured.counted_in} would settle it"
    return f"{asked}, and {n} were timed: raise `measure.latency_s`" if measured.timed else asked
