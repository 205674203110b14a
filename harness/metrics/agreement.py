"""Agreement with the float model."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.ranking import Ranked, agreement


@METRICS.register
class Agreement(Ranked):
    """Share of samples on which both models name the same class. Needs no labels; bounded by its interval."""

    metric: Literal["agreement"] = "agreement"
    relative: ClassVar[bool] = True

    def measure(self, bench: Bench) -> Pairs:
        """Same first class or not, a sample."""
        return agreement(bench.evaluation())
