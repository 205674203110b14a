"""Times of both models, interleaved."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from harness.measurement.base import Array, Base
from harness.statistics import Interval, median_ratio


class Timings(Base):
    """Nanoseconds a call, in interleaved blocks.

    Attributes:
        blocks_reference, blocks: shape (blocks, calls).
        batch: samples a call.
        rate: whether the figure is a rate (samples a second) and not a time (milliseconds a call).
        load: share of processor time that others took while sampling; 0 on an idle machine.
        level: confidence that each bound's interval is due after repeated looks; None where there was one look.
    """

    kind: Literal["timings"] = "timings"
    blocks_reference: Array
    blocks: Array
    batch: int = 1
    rate: bool = False
    load: float = 0.0
    level: float | None = None

    def _figure(self, blocks: np.ndarray[Any, Any]) -> float:
        median = float(np.median(blocks))
        return self.batch * 1e9 / median if self.rate else median / 1e6

    @property
    def value(self) -> float:
        """Median milliseconds a call, or samples a second."""
        return self._figure(self.blocks)

    @property
    def reference(self) -> float:
        """The float model's median."""
        return self._figure(self.blocks_reference)

    @property
    def n(self) -> int:
        """Blocks."""
        return int(self.blocks.shape[0])

    def ratio(self, confidence: float) -> Interval:
        """Ratio of medians, by a bootstrap over blocks."""
        sides = (self.blocks, self.blocks_reference) if self.rate else (self.blocks_reference, self.blocks)
        # Repeated looks spend error: the interval is widened, and still stands for the confidence that was asked for.
        spent = median_ratio(*sides, self.level or confidence)
        return Interval(spent.estimate, spent.lower, spent.upper, confidence, spent.method)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, in the metric's unit: the ratio's interval on the float median."""
        ratio, at = self.ratio(confidence), self.reference
        return Interval(
            at * (1 - ratio.estimate), at * (1 - ratio.upper), at * (1 - ratio.lower), confidence, ratio.method
        )
