"""Top-5 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, hits


@METRICS.register
class Top5(Ranked):
    """Share of samples whose target is among the five most probable classes."""

    metric: Literal["top5"] = "top5"
    also: ClassVar[Mapping[str, str]] = {"top-5": ""}

    def measure(self, bench: Bench) -> Pairs:
        """Among the five or not, a sample and side."""
        return hits(bench.evaluation(), 5)
