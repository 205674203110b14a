"""Pearson correlation with given similarities."""

from __future__ import annotations

from typing import Literal

from harness.measurement import Correlation
from harness.metrics.base import METRICS, Bench
from harness.metrics.correlation import Correlated, correlation


@METRICS.register
class Pearson(Correlated):
    """Linear correlation of the models' similarities with the given ones, over all pairs of samples."""

    metric: Literal["pearson"] = "pearson"

    def measure(self, bench: Bench) -> Correlation:
        """Both models' similarities beside the given ones.

        Raises:
            Unmeasurable: as `correlation`.
        """
        return correlation(bench.evaluation(), "pearson")
