"""Samples a second."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.measurement import Timings
from harness.metrics.base import METRICS, Bench, Better, Metric


@METRICS.register
class ThroughputFps(Metric):
    """Samples a second at a stated batch size: batch ÷ median time of a call."""

    metric: Literal["throughput_fps"] = "throughput_fps"
    batch: int | None = Field(default=32, ge=1, description="samples a call")
    unit: ClassVar[str] = "1/s"
    better: ClassVar[Better] = "higher"
    machine: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.10

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides, read as a rate."""
        return bench.timings(self.batch, self.ratio_limits, rate=True)
