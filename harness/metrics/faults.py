"""A broken metric, on purpose: what a gate must never call green."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class FaultNan(Counted):
    """Fault injection: always not a number, which the gate must call INVALID. For proving the gate alone."""

    metric: Literal["fault_nan"] = "fault_nan"
    better: ClassVar[Better] = "lower"
    fault: ClassVar[bool] = True

    def count(self, side: Side) -> float:
        """Not a number."""
        return float("nan")
