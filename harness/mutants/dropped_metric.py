"""A figure that the worker does not deliver."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.run.job import Measured
from harness.run.result import Result


@MUTANTS.register
class DroppedMetric(Mutant):
    """The first measured budget, by its label, is missing from what the worker leaves."""

    mutant: Literal["dropped-metric"] = "dropped-metric"
    what: ClassVar[str] = "one budget's figure missing from what the worker leaves"

    def document(self, measured: Measured) -> Measured:
        """The document without it."""
        kept = dict(measured.measurements)
        kept.pop(min(kept, default=""), None)
        return measured.model_copy(update={"measurements": kept})

    def claim(self, green: Green, mutated: Result) -> Claim:
        """The budget whose figure is gone claims it, unless it was expected to fail."""
        budgets = green.spec.budgets
        gone = min((label for label in green.result.measurements if not budgets[label].machine), default=None)
        if gone is None:
            return Claim(missing="a budget that is no time")
        if gone not in green.labels:
            return Claim(missing=f"{gone} as it should be: it is expected to fail")
        return Claim({gone: "has no figure"})
