"""F1 over classes."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Labels
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, labels


@METRICS.register
class F1(Ranked):
    """Macro F1: the harmonic mean of precision and recall of each class, averaged over classes."""

    metric: Literal["f1"] = "f1"

    def measure(self, bench: Bench) -> Labels:
        """Both models' labels beside the targets."""
        return labels(bench.evaluation(), "f1")
