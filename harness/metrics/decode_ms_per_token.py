"""Time of one more token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import Timings
from harness.metrics.base import METRICS, Bench
from harness.metrics.generation import OfGeneration


@METRICS.register
class DecodeMsPerToken(OfGeneration):
    """Median milliseconds in which a language model generates one token, the prompt and those before in its cache."""

    metric: Literal["decode_ms_per_token"] = "decode_ms_per_token"
    also: ClassVar[Mapping[str, str]] = {"tpot": "", "time-per-output-token": ""}
    unit: ClassVar[str] = "ms"

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides."""
        return bench.generation("decode", self.prompt, self.ratio_limits)
