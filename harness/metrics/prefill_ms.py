"""Time to read a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import Timings
from harness.metrics.base import METRICS, Bench
from harness.metrics.generation import OfGeneration


@METRICS.register
class PrefillMs(OfGeneration):
    """Median milliseconds in which a prompt is read into an empty cache: what a first new token waits for."""

    metric: Literal["prefill_ms"] = "prefill_ms"
    also: ClassVar[Mapping[str, str]] = {"ttft": "", "time-to-first-token": ""}
    unit: ClassVar[str] = "ms"

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides."""
        return bench.generation("prefill", self.prompt, self.ratio_limits)
