"""Peak resident memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.errors import Unmeasurable
from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class PeakMemoryMb(Counted):
    """Growth of peak resident memory in a fresh process that loads the artifact and runs it, in megabytes.

    Each side has a process of its own, and the state after imports is subtracted: what remains is the model, its
    activations and its runtime's workspace.
    """

    metric: Literal["peak_memory_mb"] = "peak_memory_mb"
    also: ClassVar[Mapping[str, str]] = {"memory": "", "ram": "", "rss": ""}
    unit: ClassVar[str] = "MB"
    better: ClassVar[Better] = "lower"
    machine: ClassVar[bool] = True
    isolated: ClassVar[bool] = True
    # Allocators round up and threads keep arenas: a few percent between equal runs.
    tolerance: ClassVar[float] = 0.15

    def count(self, side: Side) -> float:
        """Megabytes over the state after imports."""
        if side.peak_bytes is None:
            raise Unmeasurable("the memory worker gave no figure")
        if side.peak_bytes == 0:
            raise Unmeasurable("the memory did not grow while the artifact was loaded and run: its peak was not seen")
        return side.peak_bytes / 1e6
