"""Recall over classes."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Finds, Labels
from harness.metrics.averaged import Averaged, averaged
from harness.metrics.base import METRICS, Bench


@METRICS.register
class Recall(Averaged):
    """Macro recall: how much of a class is named as it, averaged over classes.

    Of detections with a score of 0.25 or more, each right where it overlaps a true box of its class by half.
    """

    metric: Literal["recall"] = "recall"

    def measure(self, bench: Bench) -> Labels | Finds:
        """What both models named, beside the targets."""
        return averaged(bench.evaluation(), "recall")
