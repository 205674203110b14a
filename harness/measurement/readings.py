"""A figure that every reading gives a little differently, such as memory: all readings of both models."""

from __future__ import annotations

import math
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field

from harness.measurement.base import MEASUREMENTS, Base, Figure, Kept
from harness.statistics import Interval

METHOD = "least and greatest reading"


@MEASUREMENTS.register
class Readings(Base):
    """One figure, above zero, read several times of each side: what lies between the readings is noise.

    A limit is kept where every reading keeps it and broken where every one breaks it, so the bounds are the least and
    the greatest reading, whatever confidence is asked for. Each interval carries the confidence that this comes to: n
    readings all lie beyond their median on a given side once in 2^n. Of two sides with the same noise all n readings of
    the one lie below all m of the other once in C(n + m, n), which is how often a bound on their ratio errs.

    Attributes:
        figures_reference, figures: every reading, in the order in which they were taken.
    """

    repeated: ClassVar[bool] = True
    kept: ClassVar[Kept] = "value"
    kind: Literal["readings"] = "readings"
    figures_reference: tuple[Figure, ...] = Field(min_length=1)
    figures: tuple[Figure, ...] = Field(min_length=1)

    @property
    def value(self) -> float:
        """The compressed model's median."""
        return _middle(self.figures)

    @property
    def reference(self) -> float:
        """The float model's median."""
        return _middle(self.figures_reference)

    @property
    def extent(self) -> str:
        """Readings."""
        return f"{len(self.figures)} readings"

    def alone(self, *, reference: bool = False) -> Interval:
        """One side's median between its least and its greatest reading."""
        figures = self.figures_reference if reference else self.figures
        return Interval(_middle(figures), min(figures), max(figures), 1 - 0.5 ** len(figures), METHOD)

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float: the least over the greatest, the greatest over the least; NaN of a float figure of 0."""
        ours, theirs = self.alone(), self.alone(reference=True)
        if not theirs.lower > 0:
            return Interval(math.nan, math.nan, math.nan, self._confidence, METHOD)
        return Interval(
            ours.estimate / theirs.estimate, ours.lower / theirs.upper, ours.upper / theirs.lower, self._confidence,
            METHOD,
        )  # fmt: skip

    def drop(self, confidence: float) -> Interval:
        """Float − compressed: the least less the greatest, the greatest less the least."""
        ours, theirs = self.alone(), self.alone(reference=True)
        return Interval(
            theirs.estimate - ours.estimate, theirs.lower - ours.upper, theirs.upper - ours.lower, self._confidence,
            METHOD,
        )  # fmt: skip

    @property
    def _confidence(self) -> float:
        """Of a bound on what both sides' readings make together."""
        ours, theirs = len(self.figures), len(self.figures_reference)
        return 1 - 1 / math.comb(ours + theirs, ours)


def _middle(figures: tuple[float, ...]) -> float:
    """The median; no number where one of them is none."""
    return median(figures) if all(map(math.isfinite, figures)) else math.nan
