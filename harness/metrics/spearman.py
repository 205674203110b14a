"""Spearman correlation with given similarities."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Correlation
from harness.metrics.base import METRICS, Bench
from harness.metrics.correlation import Correlated, correlation


@METRICS.register
class Spearman(Correlated):
    """Rank correlation of the models' similarities with the given ones, over all pairs of samples."""

    metric: Literal["spearman"] = "spearman"

    def measure(self, bench: Bench) -> Correlation:
        """Both models' similarities beside the given ones.

        Raises:
            Unmeasurable: as `correlation`.
        """
        return correlation(bench.evaluation(), "spearman")
