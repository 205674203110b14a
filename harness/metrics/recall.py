"""Recall over classes."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Labels
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, labels


@METRICS.register
class Recall(Ranked):
    """Macro recall: how much of a class is named as it, averaged over classes."""

    metric: Literal["recall"] = "recall"

    def measure(self, bench: Bench) -> Labels:
        """Both models' labels beside the targets."""
        return labels(bench.evaluation(), "recall")
