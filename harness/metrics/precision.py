"""Precision over classes."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Labels
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, labels


@METRICS.register
class Precision(Ranked):
    """Macro precision: how much of what is named a class belongs to it, averaged over classes."""

    metric: Literal["precision"] = "precision"

    def measure(self, bench: Bench) -> Labels:
        """Both models' labels beside the targets."""
        return labels(bench.evaluation(), "precision")
