"""What every metric of found objects has in common."""

from __future__ import annotations

from typing import ClassVar

from harness.metrics.base import SHARE, Better, Metric, Span


class Detected(Metric):
    """What every metric is that is read off detections."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    span: ClassVar[Span | None] = SHARE
    reads: ClassVar[frozenset[str]] = frozenset({"boxes", "scores", "labels"})
    targets: ClassVar[str] = "boxes"
    # A library's new version or another processor's rounding moves a box or two in a thousand.
    tolerance: ClassVar[float] = 0.003
