"""Baselines that belong to something else than what is judged by them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from harness.judge.baseline import Accepted, CaseBaseline
from harness.mutants.base import MUTANTS, Budget, Claim, Green, Mutant, Reach
from harness.run.result import Result


class _Swapped(Mutant):
    """Another baseline is swapped in; what was measured stays."""

    judged_only: ClassVar[bool] = True

    def baseline(self, baseline: CaseBaseline) -> CaseBaseline:
        """Every entry, of whichever machine, as `older` has it."""
        machines = {
            fingerprint: machine.model_copy(update={"labels": self._older(machine.labels)})
            for fingerprint, machine in baseline.machines.items()
        }
        return baseline.model_copy(update={"portable": self._older(baseline.portable), "machines": machines})

    def _older(self, entries: dict[str, Accepted]) -> dict[str, Accepted]:
        return {label: self.older(entry) for label, entry in entries.items()}

    @abstractmethod
    def older(self, entry: Accepted) -> Accepted:
        """What stood in the baseline before."""


@MUTANTS.register
class StaleBaseline(_Swapped):
    """A baseline from before the metrics last changed: every entry is of the version before."""

    mutant: Literal["stale-baseline"] = "stale-baseline"
    what: ClassVar[str] = "a baseline of the metrics' version before in the place of this one"
    reach: ClassVar[tuple[Reach, ...]] = ("figures", "times")

    def older(self, entry: Accepted) -> Accepted:
        """The entry under the version before."""
        return entry.model_copy(update={"metric_version": entry.metric_version - 1})

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Every budget that is held to a stored baseline here claims it."""
        held = [label for label, budget in green.budgets().items() if _compared(budget)]
        return Claim(dict.fromkeys(held, "is held to a baseline"), "" if held else "a budget with a stored baseline")


def _compared(budget: Budget) -> bool:
    """Whether a budget is held to what was accepted: with other versions of libraries only a ratio of times is."""
    return budget.accepted is not None and (budget.absolute or budget.accepted.ratio is not None)


@MUTANTS.register
class OtherData(_Swapped):
    """A baseline from before the evaluation data last changed: its outcomes are of other samples."""

    mutant: Literal["other-data"] = "other-data"
    what: ClassVar[str] = "a baseline whose outcomes are of other samples in the place of this one"

    def older(self, entry: Accepted) -> Accepted:
        """The entry with outcomes whose data have another fingerprint."""
        outcomes = entry.outcomes
        if outcomes is None or not hasattr(outcomes, "data"):
            return entry
        return entry.model_copy(update={"outcomes": outcomes.model_copy(update={"data": f"before {outcomes.data}"})})

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Every budget with a baseline of per-sample outcomes claims it."""
        held = {
            label: "the baseline's outcomes are of other samples"
            for label, budget in green.budgets().items()
            if budget.accepted is not None and budget.accepted.outcomes is not None
        }
        return Claim(held, "" if held else "a baseline with per-sample outcomes")
