"""How far the compressed model's next tokens are from the float model's, as distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.measurement import Totals
from harness.metrics.base import METRICS, POSITIVE, Bench, Better, Span
from harness.metrics.chance import require_above_frequencies
from harness.metrics.tokens import OfTokens


@METRICS.register
class KlDivergence(OfTokens):
    """Mean KL(float ‖ compressed) of the next token over the whole vocabulary, in nats. Bounded by its interval.

    Both models are run side by side on the first windows, for a window's logits are too many to keep.
    """

    metric: Literal["kl_divergence"] = "kl_divergence"
    also: ClassVar[Mapping[str, str]] = {"kl": "", "kld": ""}
    windows: int = Field(default=8, ge=2, description="evaluation windows that it is taken on, the first ones")
    reads: ClassVar[frozenset[str]] = frozenset({"divergence", "nll", "scored"})
    better: ClassVar[Better] = "lower"
    span: ClassVar[Span | None] = POSITIVE
    relative: ClassVar[bool] = True
    partial: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.001

    @property
    def first(self) -> int:
        """Windows."""
        return self.windows

    def measure(self, bench: Bench) -> Totals:
        """Divergences, by window; the float model's from itself is 0.

        Raises:
            Unmeasurable: on these windows the float model is no better than chance, or there are fewer of them.
        """
        compared = bench.comparison(self.first)
        scored, divergence = compared.rows["scored"], compared.rows["divergence"]
        require_above_frequencies(compared.targets, compared.rows["nll"], scored)
        return Totals(
            totals_reference=np.zeros(len(scored)),
            totals=divergence,
            tokens=scored.astype(np.int64),
            units=compared.units,
            data=compared.data,
        )
