"""Top-1 accuracy."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench, Better, Metric
from harness.metrics.ranking import hits


@METRICS.register
class Top1(Metric):
    """Share of samples whose most probable class is the target."""

    metric: Literal["top1"] = "top1"
    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = frozenset({"image-classification"})

    def measure(self, bench: Bench) -> Pairs:
        """Right or wrong, a sample and side."""
        return hits(bench.evaluation(), 1)
