"""A count."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement.base import MEASUREMENTS, Base, Figure, Kept
from harness.statistics import Interval


@MEASUREMENTS.register
class Exact(Base):
    """A count: the same on every run, so its intervals have no width."""

    exact: ClassVar[bool] = True
    kept: ClassVar[Kept] = "value"
    kind: Literal["exact"] = "exact"
    measured: Figure
    measured_reference: Figure

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return self.measured

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return self.measured_reference

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float."""
        return self._point(self.value / self.reference if self.reference else float("nan"), confidence)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""
        return self._point(self.reference - self.value, confidence)

    @staticmethod
    def _point(value: float, confidence: float) -> Interval:
        return Interval(value, value, value, confidence, "exact")
