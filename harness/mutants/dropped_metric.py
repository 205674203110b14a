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
        """The budget whose figure is gone claims it."""
        figures = [label for label, budget in green.budgets().items() if not budget.metric.machine]
        gone = min(figures, default=None)
        return Claim({gone: "has no figure"}) if gone is not None else Claim(missing="a budget that is no time")
