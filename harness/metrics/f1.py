"""F1 over classes."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Finds, Labels
from harness.metrics.averaged import Averaged, averaged
from harness.metrics.base import METRICS, Bench


@METRICS.register
class F1(Averaged):
    """Macro F1: the harmonic mean of precision and recall of each class, averaged over classes.

    Of detections with a score of 0.25 or more, each right where it overlaps a true box of its class by half.
    """

    metric: Literal["f1"] = "f1"

    def measure(self, bench: Bench) -> Labels | Finds:
        """What both models named, beside the targets."""
        return averaged(bench.evaluation(), "f1")
