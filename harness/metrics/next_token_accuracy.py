"""How often the most probable token is the one that comes."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Totals
from harness.metrics.base import METRICS, SHARE, Bench, Span
from harness.metrics.tokens import OfTokens, totals


@METRICS.register
class NextTokenAccuracy(OfTokens):
    """Share of scored tokens that the model holds for the most probable."""

    metric: Literal["next_token_accuracy"] = "next_token_accuracy"
    reads: ClassVar[frozenset[str]] = frozenset({"best", "nll", "scored"})
    span: ClassVar[Span | None] = SHARE

    def measure(self, bench: Bench) -> Totals:
        """Tokens that each side has right, by window.

        Raises:
            Unmeasurable: as `totals`.
        """
        evaluation = bench.evaluation()
        # Positions that are not scored hold -1 here and another number in the targets.
        right = [
            (side["best"] == evaluation.targets).sum(axis=1) for side in (evaluation.reference, evaluation.compressed)
        ]
        return totals(evaluation, right[0], right[1], share=True)
