"""Times of both models, interleaved."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np

from harness.measurement.base import MEASUREMENTS, Array, Base, Kept
from harness.measurement.blocks import Blocks
from harness.measurement.breach import Breach
from harness.measurement.doubts import DISTURBED, LOAD_NOTICED, Doubt, found, noise_floor
from harness.statistics import Interval, median_ratio

# Confidence of the noise floor that a report shows.
SHOWN_AT = 0.95
Times = np.ndarray[Any, np.dtype[np.float64]]


@MEASUREMENTS.register
class Timings(Base):
    """Nanoseconds a call, in interleaved blocks.

    Attributes:
        blocks_reference, blocks: shape (blocks, readings).
        blocks_control: the float model once more in every pair, shaped as `blocks_reference`; None where it was not.
        batch: samples a call.
        rate: whether the figure is a rate (samples a second) and not a time (milliseconds a call).
        load: share of processor time that others took while sampling; 0 on an idle machine.
        stolen: share of processor time that the hypervisor gave to others.
        waited: share of the time in which this process was ready and had to wait for a processor.
        disturbed: share of the readings of the worse side during which the process lost its processor.
        calls: calls that one reading of the clock spans, float and compressed.
        overhead: nanoseconds that an empty call takes.
        level: confidence that each bound's interval is due after repeated looks; None where there was one look.
        breach: what an earlier take proved, and this one is to bear out.
    """

    timed: ClassVar[bool] = True
    kept: ClassVar[Kept] = "ratio"
    kind: Literal["timings"] = "timings"
    blocks_reference: Array
    blocks: Array
    blocks_control: Array | None = None
    batch: int = 1
    rate: bool = False
    load: float = 0.0
    stolen: float = 0.0
    waited: float = 0.0
    disturbed: float = 0.0
    calls: tuple[int, int] = (1, 1)
    overhead: float = 0.0
    level: float | None = None
    breach: Breach | None = None

    def _figure(self, blocks: Times) -> float:
        median = float(np.median(blocks))
        return self.batch * 1e9 / median if self.rate else median / 1e6

    @property
    def floats(self) -> Times:
        """All readings of the float model, the control's among them; shape (blocks, readings)."""
        if self.blocks_control is None:
            return self.blocks_reference
        return np.hstack([self.blocks_reference, self.blocks_control])

    @property
    def value(self) -> float:
        """Median milliseconds a call, or samples a second."""
        return self._figure(self.blocks)

    @property
    def reference(self) -> float:
        """The float model's median."""
        return self._figure(self.floats)

    @property
    def n(self) -> int:
        """Blocks."""
        return int(self.blocks.shape[0])

    @property
    def extent(self) -> str:
        """Blocks."""
        return f"{self.n} blocks"

    @property
    def counted_in(self) -> str:
        """Blocks."""
        return "blocks"

    def others(self) -> float:
        """Share of processor time that others took while sampling."""
        return self.load

    def unsettled(self) -> bool:
        """Whether others, the hypervisor among them, took much, or many readings were disturbed."""
        return max(self.load, self.stolen) > LOAD_NOTICED or self.disturbed > DISTURBED

    def course(self) -> Blocks:
        """Medians of every block, and how far this run's own noise reaches."""
        sides = (self.blocks_reference, self.blocks, self.blocks_control)
        reference, compressed, control = (
            tuple(float(median) for median in np.median(side, axis=1) / 1e6) if side is not None else ()
            for side in sides
        )
        noise = noise_floor(self, SHOWN_AT)
        return Blocks(
            reference=reference, compressed=compressed, control=control, batch=self.batch, calls=self.calls,
            load=self.load, waited=self.waited, disturbed=self.disturbed,
            noise=noise if control and math.isfinite(noise) else None, drift=self.drift,
        )  # fmt: skip

    def doubts(self, confidence: float, slower: float = 0.0) -> list[Doubt]:
        """What this run's own noise and what others did leave open."""
        return found(self, confidence, slower)

    def ratio(self, confidence: float) -> Interval:
        """Ratio of medians, by a bootstrap over blocks."""
        below, above = (self.blocks, self.floats) if self.rate else (self.floats, self.blocks)
        # Repeated looks spend error: the interval is widened, and still stands for the confidence that was asked for.
        spent = median_ratio(below, above, self.level or confidence)
        return Interval(spent.estimate, spent.lower, spent.upper, confidence, spent.method)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, in the metric's unit: the ratio's interval on the float median."""
        ratio, at = self.ratio(confidence), self.reference
        return Interval(
            at * (1 - ratio.estimate), at * (1 - ratio.upper), at * (1 - ratio.lower), confidence, ratio.method
        )

    def control(self, confidence: float) -> Interval | None:
        """Float ÷ float: what this run makes of two models that are equal; None without a control."""
        if self.blocks_control is None:
            return None
        return median_ratio(self.blocks_reference, self.blocks_control, confidence)

    @property
    def drift(self) -> float:
        """Float's median in the second half of the run ÷ in the first, less 1."""
        half = self.n // 2
        if half == 0:
            return 0.0
        return float(np.median(self.floats[-half:]) / np.median(self.floats[:half])) - 1
