"""Perplexity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Totals
from harness.metrics.base import METRICS, Bench, Better, Span
from harness.metrics.tokens import OfTokens, totals
from harness.tasks.base import Evaluation


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
        """Negative log-likelihoods of both sides, by window."""
        evaluation = bench.evaluation()
        _require_informed(evaluation)
        sides = (evaluation.reference["nll"], evaluation.compressed["nll"])
        return totals(evaluation, *sides, exponential=True)


def _require_informed(evaluation: Evaluation) -> None:
    """Hold the float model to a model that knows how often each token of these very texts stands in them.

    Raises:
        Unmeasurable: the float model's perplexity is not below that one's.
    """
    tokens = evaluation.targets[evaluation.targets >= 0]
    shares = np.unique(tokens, return_counts=True)[1] / len(tokens)
    known = math.exp(-float((shares * np.log(shares)).sum()))
    mean = float(evaluation.reference["nll"].sum() / evaluation.reference["scored"].sum())
    if len(shares) > 1 and mean >= math.log(known):
        raise Unmeasurable(
            f"the float model's perplexity on these texts is e^{mean:.2f}, and knowing no more than how often each of "
            f"their tokens occurs gives {known:.1f}: was it loaded with its own tokenizer, and was it trained on such "
            "texts?"
        )
