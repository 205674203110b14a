"""One fault, or none, measured and judged; and what its rows say of a mutant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.judge.verdict import State, Verdict
from harness.mutants.base import Mutant
from harness.run.mutation import Mutation
from harness.run.result import Result


@dataclass
class Judged:
    """One fault, or none, measured and judged over some labels."""

    result: Result
    rows: list[Verdict]

    def loaded(self, label: str) -> bool:
        """Whether others were at work while this label was timed."""
        measured = self.result.measurements.get(label)
        return measured is not None and measured.unsettled()

    def withheld(self, row: Verdict) -> bool:
        """Whether a row cannot tell for what came from outside: the gate itself asks for a quieter machine."""
        return row.verdict is State.INCONCLUSIVE and (self.loaded(row.label) or row.doubted)


def broken_down(judged: Iterable[Judged]) -> str:
    """How a worker ended that was not let finish: a kill, a time-out or want of memory is no verdict on the mutant."""
    for one in judged:
        failure = one.result.failure
        # An exception in a stage is the mutant's doing.
        if failure is not None and failure.kind == "ended":
            return failure.sentence
    return ""


def refusal(mutant: Mutant, judged: Iterable[Judged]) -> str:
    """The sentence with which an artifact that a mutant made wrong was refused whole, before any budget was tried.

    Empty where budgets were tried.
    """
    if type(mutant).artifact is Mutation.artifact:
        return ""
    return next((one.result.failure.sentence for one in judged if one.result.failure is not None), "")


def too_loose(rows: Iterable[Verdict], owed: Iterable[str]) -> str:
    """The budgets that owed the catch, each with what it said."""
    said = {row.label: row.sentence for row in rows}
    return "; ".join(
        f"{label} should have caught it and is too loose ({said.get(label, 'not judged')})" for label in owed
    )
