"""Mean average precision over ten overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import AveragePrecision
from harness.metrics.base import METRICS, Bench
from harness.metrics.detections import Detected
from harness.tasks.detections import OVERLAPS, average_precision


@METRICS.register
class Map50To95(Detected):
    """COCO's own figure: mean average precision over the overlaps 0.50, 0.55, … 0.95, so that exact boxes pay."""

    metric: Literal["map50_95"] = "map50_95"
    also: ClassVar[Mapping[str, str]] = {"map": "", "average-precision": "", "coco-map": ""}

    def measure(self, bench: Bench) -> AveragePrecision:
        """Both models' ranked detections."""
        return average_precision(bench.evaluation(), OVERLAPS)
