"""Zeros in the weights."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class Sparsity(Counted):
    """Share of exact zeros among the elements of weight matrices (two axes or more), between 0 and 1."""

    metric: Literal["sparsity"] = "sparsity"
    unit: ClassVar[str] = ""
    better: ClassVar[Better] = "higher"

    def count(self, side: Side) -> float:
        """Share of zeros."""
        return side.evidence.sparsity
