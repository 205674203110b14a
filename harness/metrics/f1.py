"""F1 over classes."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Labels
from harness.metrics.base import METRICS, Bench, Better, Metric
from harness.metrics.ranking import labels


@METRICS.register
class F1(Metric):
    """Macro F1: the harmonic mean of precision and recall of each class, averaged over classes."""

    metric: Literal["f1"] = "f1"
    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = frozenset({"image-classification"})

    def measure(self, bench: Bench) -> Labels:
        """Both models' labels beside the targets."""
        return labels(bench.evaluation(), "f1")
