"""Zeros in the weights."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.errors import Unmeasurable
from harness.metrics.base import METRICS, SHARE, Better, Counted, Side, Span


@METRICS.register
class Sparsity(Counted):
    """Share of exact zeros among the elements of weight matrices (two axes or more), between 0 and 1."""

    metric: Literal["sparsity"] = "sparsity"
    unit: ClassVar[str] = ""
    better: ClassVar[Better] = "higher"
    span: ClassVar[Span | None] = SHARE

    def count(self, side: Side) -> float:
        """Share of zeros.

        Raises:
            Unmeasurable: there is no weight that could be zero.
        """
        if not side.evidence.matrices:
            raise Unmeasurable("no weight matrix was counted on the artifact: a share of nothing is no sparsity")
        return side.evidence.sparsity
