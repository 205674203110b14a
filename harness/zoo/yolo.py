"""YOLO detectors, as ultralytics describes them."""

from __future__ import annotations

from torch import nn

from harness.sources.ultralytics import Ultralytics


def yolo11n(classes: int = 80) -> nn.Module:
    """YOLO11n: takes images (batch, 3, height, width) in 0…1, returns candidates (batch, 4 + classes, candidates)."""
    return Ultralytics(name="yolo11n", classes=classes).built()
