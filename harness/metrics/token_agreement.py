"""Agreement with the float model, token by token."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.measurement import Totals
from harness.metrics.base import METRICS, SHARE, Bench, Span
from harness.metrics.tokens import OfTokens, totals


@METRICS.register
class TokenAgreement(OfTokens):
    """Share of scored positions at which both models hold the same token for the most probable.

    Bounded by its interval. Every position is asked with the text's own tokens before it, not with generated ones.
    """

    metric: Literal["token_agreement"] = "token_agreement"
    reads: ClassVar[frozenset[str]] = frozenset({"best", "nll", "scored"})
    relative: ClassVar[bool] = True
    span: ClassVar[Span | None] = SHARE

    def measure(self, bench: Bench) -> Totals:
        """Positions of the same token, by window; the float model agrees with itself everywhere.

        Raises:
            Unmeasurable: as `totals`.
        """
        evaluation = bench.evaluation()
        ours, theirs = evaluation.reference["best"], evaluation.compressed["best"]
        same = ((ours == theirs) & (evaluation.targets >= 0)).sum(axis=1)
        return totals(evaluation, evaluation.reference["scored"], same, share=True)
