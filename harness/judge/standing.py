"""What is known from before when a case is judged: its baseline, and the machine at hand."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import BaselineError
from harness.judge import baseline as baselines
from harness.judge.baseline import Accepted, CaseBaseline
from harness.metrics.base import Metric
from harness.run.environment import environment
from harness.spec.load import Case, SpecFile


@dataclass(frozen=True)
class Standing:
    """What is known from before when a case is judged.

    Attributes:
        baseline: what was accepted for this case; None where nothing was.
        fingerprint: this machine's, with the threads and kernels of this run.
        updating: a new baseline is being accepted: only the budgets count.
        problem: why the baseline file cannot be read; empty where it can.
    """

    baseline: CaseBaseline | None
    fingerprint: str
    updating: bool = False
    problem: str = ""

    def accepted(self, metric: Metric, label: str) -> Accepted | None:
        """What was accepted for a budget, on this machine where the metric belongs to one."""
        if self.baseline is None:
            return None
        if not metric.machine:
            return self.baseline.portable.get(label)
        machine = self.baseline.machines.get(self.fingerprint)
        return machine.labels.get(label) if machine is not None else None


def standing_of(file: SpecFile, case: Case, kernels: str, *, updating: bool = False) -> Standing:
    """Where a case stands on this machine, by its baseline as it lies on disk.

    Args:
        file: the spec.
        case: which of its cases.
        kernels: the engine and its instruction set, as this run found them.
        updating: whether a new baseline is being accepted.
    """
    fingerprint = environment().fingerprint(case.spec.measure.threads, kernels)
    try:
        stored = baselines.read(file.root, file.id)
    except BaselineError as error:
        return Standing(None, fingerprint, updating=False, problem=str(error))
    return Standing(stored.cases.get(case.name) if stored is not None else None, fingerprint, updating=updating)
