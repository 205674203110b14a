"""Mean average precision at one overlap."""

from __future__ import annotations

from typing import Literal

from harness.measurement import AveragePrecision
from harness.metrics.base import METRICS, Bench
from harness.metrics.detections import Detected
from harness.tasks.detections import OVERLAPS, average_precision


@METRICS.register
class Map50(Detected):
    """Mean average precision where a box must overlap the true one by half (intersection ÷ union ≥ 0.5)."""

    metric: Literal["map50"] = "map50"

    def measure(self, bench: Bench) -> AveragePrecision:
        """Both models' ranked detections."""
        return average_precision(bench.evaluation(), OVERLAPS[:1])
