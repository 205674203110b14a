"""A broken metric, on purpose: what a gate must never call green."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class FaultNan(Counted):
    """Fault injection: always not a number. The gate must call it INVALID; for proving the gate, never for a release."""

    metric: Literal["fault_nan"] = "fault_nan"
    better: ClassVar[Better] = "lower"

    def count(self, side: Side) -> float:
        """Not a number."""
        return float("nan")
