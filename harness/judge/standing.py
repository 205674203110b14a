"""What is known from before when a case is judged: its baseline, and the machine at hand."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge.baseline import Accepted, CaseBaseline
from harness.metrics.base import Metric


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
