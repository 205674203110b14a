"""Bytes of the shipped artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.metrics.base import METRICS, Better, Counted, Side


@METRICS.register
class SizeMb(Counted):
    """Size on disk of everything that is needed to load and run the artifact, in megabytes (10⁶ bytes)."""

    metric: Literal["size_mb"] = "size_mb"
    also: ClassVar[Mapping[str, str]] = {"model-size": ""}
    unit: ClassVar[str] = "MB"
    better: ClassVar[Better] = "lower"
    nothing: ClassVar[str] = "no byte was found"

    def count(self, side: Side) -> float:
        """Megabytes of the artifact's files."""
        return side.bytes / 1e6
