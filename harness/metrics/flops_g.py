"""Floating-point operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class FlopsG(Counted):
    """Two operations a multiply-accumulate, in 10⁹ a sample: the convention of the pruning literature."""

    metric: Literal["flops_g"] = "flops_g"
    also: ClassVar[Mapping[str, str]] = {"flops": ""}
    unit: ClassVar[str] = "GFLOP"
    better: ClassVar[Better] = "lower"
    nothing: ClassVar[str] = "no operation was counted"

    def count(self, side: Side) -> float:
        """Billions of operations a sample."""
        return 2 * side.macs / 1e9
