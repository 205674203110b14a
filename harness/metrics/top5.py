"""Top-5 accuracy."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench, Better, Metric
from harness.metrics.ranking import hits


@METRICS.register
class Top5(Metric):
    """Share of samples whose target is among the five most probable classes."""

    metric: Literal["top5"] = "top5"
    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = frozenset({"image-classification"})

    def measure(self, bench: Bench) -> Pairs:
        """Among the five or not, a sample and side."""
        return hits(bench.evaluation(), 5)
