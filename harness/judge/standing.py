"""What is known from before when a case is judged: its baseline, and the machine at hand."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge.baseline import Accepted, CaseBaseline


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

    def portable(self, label: str) -> Accepted | None:
        """What was accepted for a budget that belongs to no machine."""
        return self.baseline.portable.get(label) if self.baseline is not None else None
