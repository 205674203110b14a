"""What every metric of found objects has in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.measurement.swing import of_ranking
from harness.metrics.base import SHARE, Better, Metric, Span
from harness.tasks.detections import objects


class Detected(Metric):
    """What every metric is that is read off detections."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    span: ClassVar[Span | None] = SHARE
    reads: ClassVar[frozenset[str]] = frozenset({"boxes", "scores", "labels"})
    targets: ClassVar[str] = "boxes"
    # A library's new version or another processor's rounding moves a box or two in a thousand.
    tolerance: ClassVar[float] = 0.003
    averaged: ClassVar[bool] = True

    def swing(self, targets: np.ndarray[Any, Any], units: np.ndarray[Any, Any]) -> float:
        """How far an image moves the mean of average precisions."""
        _, owner = np.unique(units, return_inverse=True)
        return of_ranking(objects(targets), owner)
