"""Samples a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from harness.measurement import Timings
from harness.metrics.base import METRICS, POSITIVE, Bench, Better, Metric, Span


@METRICS.register
class ThroughputFps(Metric):
    """Samples a second at a stated batch size: batch ÷ median time of a call."""

    metric: Literal["throughput_fps"] = "throughput_fps"
    also: ClassVar[Mapping[str, str]] = {"fps": "", "images-per-second": ""}
    batch: int | None = Field(default=32, ge=1, description="samples a call")
    unit: ClassVar[str] = "1/s"
    better: ClassVar[Better] = "higher"
    span: ClassVar[Span | None] = POSITIVE
    machine: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.10

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides, read as a rate."""
        return bench.timings(self.batch, self.ratio_limits, rate=True)
