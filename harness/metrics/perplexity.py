"""Perplexity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.measurement import Totals
from harness.metrics.base import METRICS, Bench, Better, Span
from harness.metrics.tokens import OfTokens, totals


@METRICS.register
class Perplexity(OfTokens):
    """e to the mean negative log-likelihood of the scored tokens, each given what its window holds before it.

    Every token of a text is scored once, whatever the stride; what the tokenizer puts before a text is not. A ratio of
    two perplexities is e to the difference of the means, which is bounded over documents.
    """

    metric: Literal["perplexity"] = "perplexity"
    also: ClassVar[Mapping[str, str]] = {"ppl": ""}
    reads: ClassVar[frozenset[str]] = frozenset({"nll", "scored"})
    better: ClassVar[Better] = "lower"
    # A model that is always sure and always right.
    span: ClassVar[Span | None] = (1.0, math.inf)
    # In its own unit, of figures around 20.
    tolerance: ClassVar[float] = 0.02

    def measure(self, bench: Bench) -> Totals:
        """Negative log-likelihoods of both sides, by window.

        Raises:
            Unmeasurable: as `totals`.
        """
        evaluation = bench.evaluation()
        sides = (evaluation.reference["nll"], evaluation.compressed["nll"])
        return totals(evaluation, *sides, exponential=True)
