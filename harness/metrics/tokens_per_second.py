"""Generated tokens a second."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Timings
from harness.metrics.base import METRICS, Bench, Better
from harness.metrics.generation import OfGeneration


@METRICS.register
class TokensPerSecond(OfGeneration):
    """Tokens a second that one text is generated at: 1 ÷ the median time of a token."""

    metric: Literal["tokens_per_second"] = "tokens_per_second"
    unit: ClassVar[str] = "1/s"
    better: ClassVar[Better] = "higher"

    def measure(self, bench: Bench) -> Timings:
        """Interleaved timings of both sides, read as a rate."""
        return bench.generation("decode", self.prompt, self.ratio_limits, rate=True)
