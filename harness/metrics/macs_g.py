"""Multiply-accumulate operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class MacsG(Counted):
    """Multiply-accumulates of one sample's forward pass, in 10⁹; zeros in a dense weight are still multiplied."""

    metric: Literal["macs_g"] = "macs_g"
    also: ClassVar[Mapping[str, str]] = {"macs": "", "madds": ""}
    unit: ClassVar[str] = "GMAC"
    better: ClassVar[Better] = "lower"
    nothing: ClassVar[str] = "no multiplication was counted"

    def count(self, side: Side) -> float:
        """Billions of multiply-accumulates a sample."""
        return side.macs / 1e9
