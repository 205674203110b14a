"""Peak resident memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.errors import Unmeasurable
from harness.measurement import Readings
from harness.metrics.base import METRICS, POSITIVE, Bench, Better, Metric, Side, Span


@METRICS.register
class PeakMemoryMb(Metric):
    """Median growth of peak resident memory over fresh processes that load the artifact and run it, in megabytes.

    Each side has processes of its own, and the state after imports is subtracted: what remains is the model, its
    activations and its runtime's workspace. Allocators round up and threads keep arenas, so that no two processes read
    quite the same, and a limit that lies between the readings is not decided.
    """

    metric: Literal["peak_memory_mb"] = "peak_memory_mb"
    also: ClassVar[Mapping[str, str]] = {"memory": "", "ram": "", "rss": ""}
    unit: ClassVar[str] = "MB"
    better: ClassVar[Better] = "lower"
    # What one process read was version 1.
    version: ClassVar[int] = 2
    span: ClassVar[Span | None] = POSITIVE
    machine: ClassVar[bool] = True
    isolated: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.15

    def measure(self, bench: Bench) -> Readings:
        """What every process of either side read.

        Raises:
            Unmeasurable: one of them read nothing.
        """
        return Readings(figures_reference=_megabytes(bench.reference), figures=_megabytes(bench.compressed))


def _megabytes(side: Side) -> tuple[float, ...]:
    """The readings over the state after imports."""
    if not side.peak_bytes:
        raise Unmeasurable("the memory worker gave no figure")
    if 0 in side.peak_bytes:
        raise Unmeasurable("the memory did not grow while the artifact was loaded and run: its peak was not seen")
    return tuple(peak / 1e6 for peak in side.peak_bytes)
