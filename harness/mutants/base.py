"""What every mutant is: a mutation of a job or of a baseline, and the rule by which budgets claim to catch it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from harness.judge.baseline import Accepted, CaseBaseline
from harness.judge.match import Setting, held
from harness.judge.place import place_of
from harness.judge.standing import Standing
from harness.measurement import Measurement
from harness.metrics.base import Metric
from harness.run.mutation import MUTANTS, Mutation
from harness.run.result import Result
from harness.spec.schema import Spec

# What a mutant can move. Times include peak memory: whatever belongs to one machine.
Reach = Literal["figures", "times"]


@dataclass(frozen=True)
class Budget:
    """One budget of a green case.

    Attributes:
        metric: its bounds.
        measured: without the fault.
        accepted: what it is held to; None where nothing was accepted that holds here.
        absolute: whether figures of this machine are enforced here: `max`, `min`, `max_rise` and `max_drop` of times.
    """

    metric: Metric
    measured: Measurement
    accepted: Accepted | None
    absolute: bool = True

    @property
    def tolerance(self) -> float:
        """How far from what was accepted is no regression."""
        return self.metric.tolerated(self.metric.regress)


@dataclass(frozen=True)
class Green:
    """A case as it passed, without any fault.

    Attributes:
        spec: the case.
        result: what was measured.
        standing: the baseline and this machine.
        labels: the budgets that can owe anything: what passed, and times that could not be told here.
        evidence: whether the evidence can owe anything: not where its failure is expected.
    """

    spec: Spec
    result: Result
    standing: Standing
    labels: tuple[str, ...]
    evidence: bool = True

    def budgets(self) -> dict[str, Budget]:
        """The budgets that can owe anything, by label."""
        return {
            label: self._budget(label, metric)
            for label, metric in self.spec.budgets.items()
            if label in self.labels and label in self.result.measurements
        }

    def _budget(self, label: str, metric: Metric) -> Budget:
        measured = self.result.measurements[label]
        if not metric.machine:
            return Budget(metric, measured, self.standing.portable(label))
        here = Setting(self.result.environment, self.spec.measure.threads, self.result.kernels)
        near = held(self.standing.baseline, label, self.standing.fingerprint, here)
        place = place_of(metric, measured, near, self.result.float_model)
        # As the judge has it: nothing is compared with what was accepted at a slower pace of this machine.
        return Budget(metric, measured, None if place.slower < 0 else near.accepted, absolute=place.absolute)


@dataclass(frozen=True)
class Claim:
    """Which budgets owe the catch of a mutant.

    Attributes:
        owed: label → why it owes it; empty where no budget claims the mutant.
        missing: what would make a budget claim it, or, where the claim is every spec's, what is too loose.
        always: every spec claims it, whatever its budgets.
    """

    owed: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    always: bool = False

    @property
    def claimed(self) -> bool:
        """Whether the spec claims to catch the mutant."""
        return self.always or bool(self.owed)


class Mutant(Mutation):
    """A fault, with its claim rule. The rule sees budgets, baseline and figures, and never a verdict on the mutant."""

    what: ClassVar[str]
    reach: ClassVar[tuple[Reach, ...]] = ("figures",)
    # Needs no run of its own: what was measured without the fault is judged again.
    judged_only: ClassVar[bool] = False

    def baseline(self, baseline: CaseBaseline) -> CaseBaseline:
        """The baseline that the judge is given."""
        return baseline

    @abstractmethod
    def claim(self, green: Green, mutated: Result) -> Claim:
        """Which budgets claim to catch it.

        Args:
            green: the case without the fault.
            mutated: what was measured with it; for how far it moves a figure, where that cannot be known before.
        """


def mutants() -> dict[str, Mutant]:
    """Every mutant by name; those that differ in a number in its order."""
    parts = {name: part(mutant=name) for name, part in MUTANTS.items() if issubclass(part, Mutant)}
    return {name: parts[name] for name in sorted(parts, key=lambda name: (name.rstrip("0123456789"), len(name), name))}


__all__ = ["MUTANTS", "Budget", "Claim", "Green", "Mutant", "mutants"]
