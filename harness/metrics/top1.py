"""Top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, hits


@METRICS.register
class Top1(Ranked):
    """Share of samples whose most probable class is the target."""

    metric: Literal["top1"] = "top1"
    also: ClassVar[Mapping[str, str]] = {"accuracy": "", "top-1": "", "acc": ""}

    def measure(self, bench: Bench) -> Pairs:
        """Right or wrong, a sample and side."""
        return hits(bench.evaluation(), 1)
