"""Stored parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class ParamsM(Counted):
    """Parameters that the artifact stores, zeros included, in millions; buffers such as running means do not count."""

    metric: Literal["params_m"] = "params_m"
    also: ClassVar[Mapping[str, str]] = {"parameters": "", "params": ""}
    unit: ClassVar[str] = "M"
    better: ClassVar[Better] = "lower"
    nothing: ClassVar[str] = "no parameter was counted"

    def count(self, side: Side) -> float:
        """Millions of stored parameters."""
        return side.evidence.parameters / 1e6
