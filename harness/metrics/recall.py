"""Recall over classes."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Labels
from harness.metrics.base import METRICS, Bench, Better, Metric
from harness.metrics.ranking import labels


@METRICS.register
class Recall(Metric):
    """Macro recall: how much of a class is named as it, averaged over classes."""

    metric: Literal["recall"] = "recall"
    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = frozenset({"image-classification"})

    def measure(self, bench: Bench) -> Labels:
        """Both models' labels beside the targets."""
        return labels(bench.evaluation(), "recall")
