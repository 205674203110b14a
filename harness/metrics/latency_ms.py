"""Time of one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.measurement import Timings
from harness.metrics.base import METRICS, POSITIVE, Bench, Better, Metric, Span


@METRICS.register
class LatencyMs(Metric):
    """Median milliseconds a call; p95 and p99 are reported. Float and compressed run in alternating blocks (ABCCBA)."""

    metric: Literal["latency_ms"] = "latency_ms"
    also: ClassVar[Mapping[str, str]] = {"speed": ""}
    batch: int | None = Field(default=None, ge=1, description="samples a call; `measure.batch` otherwise")
    stages: Literal["model", "whole"] = Field(
        default="model",
        description="what is timed: the model alone, or with all that the task does before and after it, such as the "
        "suppression of overlapping boxes, or from noise to image through all steps of a sampler",
    )
    unit: ClassVar[str] = "ms"
    better: ClassVar[Better] = "lower"
    span: ClassVar[Span | None] = POSITIVE
    machine: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.10

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides."""
        timings = bench.timings(self.batch, self.ratio_limits, whole=self.stages == "whole")
        # A reading over several calls tells of their mean, and nothing of the slowest among them.
        sides = {"": (timings.blocks, timings.calls[1]), "_reference": (timings.floats, timings.calls[0])}
        percentiles = {
            f"p{rank}{name}": float(np.percentile(blocks, rank)) / 1e6
            for rank in (95, 99)
            for name, (blocks, calls) in sides.items()
            if calls == 1
        }
        return timings.model_copy(update={"details": {**timings.details, **percentiles}})
