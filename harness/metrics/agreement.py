"""Agreement with the float model."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench, Better, Metric
from harness.metrics.ranking import agreement


@METRICS.register
class Agreement(Metric):
    """Share of samples on which both models name the same class. Needs no labels; bounded by its interval."""

    metric: Literal["agreement"] = "agreement"
    better: ClassVar[Better] = "higher"
    relative: ClassVar[bool] = True
    needs_data: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str] | None] = frozenset({"image-classification"})

    def measure(self, bench: Bench) -> Pairs:
        """Same first class or not, a sample."""
        return agreement(bench.evaluation())
