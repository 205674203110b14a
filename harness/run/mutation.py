"""Where a job can be made wrong on purpose, for proving that the gate notices. An ordinary job has no mutation.

Each hook stands where the real fault would strike, and changes nothing unless a mutation overrides it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.data.base import Split
from harness.registry import Options, Registry
from harness.tasks.base import Answers

if TYPE_CHECKING:
    from harness.run.job import Measured
    from harness.spec.schema import Spec


class Mutation(Options):
    """One fault. It has no options: what it does is part of its name."""

    mutant: str
    # Makes the compressor wrong, and so also what the model in memory answered when it was saved.
    compresses_wrongly: ClassVar[bool] = False
    # Strikes while the models answer, so that answers may be neither taken from a cache nor left in one.
    answers_wrongly: ClassVar[bool] = False

    def artifact(self, compressed: Path, reference: Path, spec: Spec) -> None:
        """Change the folder of the compressed artifact, a private copy.

        Args:
            compressed: what `compress` left for the compressed side: the artifact, and the probe beside it.
            reference: the same of the float side; not to be changed.
            spec: the case.

        Raises:
            Unmeasurable: this artifact cannot be changed in this way.
        """

    def split(self, split: Split) -> Split:
        """The evaluation split as both models are fed it."""
        return split

    def answers(self, answers: Answers) -> Answers:
        """What the compressed model answered on the evaluation split, ``targets`` among them."""
        return answers

    def call(self, call: Callable[[], object]) -> Callable[[], object]:
        """The call of the compressed model that is timed."""
        return call

    def document(self, measured: Measured) -> Measured:
        """What the worker leaves."""
        return measured


MUTANTS: Registry[Mutation] = Registry("mutants", "mutant")
NONE = Mutation(mutant="")


def mutation(name: str) -> Mutation:
    """The mutation of a job; for an empty name the one that changes nothing.

    Raises:
        UnknownName: with the closest name.
    """
    return MUTANTS[name](mutant=name) if name else NONE
