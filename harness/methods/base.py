"""What every compression method is: typed options, the forms it works on, one function, what it must leave behind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from harness.data.base import Dataset, Split
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Returned, Subject
from harness.registry import Options, Registry
from harness.tasks.base import Task
from harness.training import Training


@dataclass(frozen=True)
class Workshop:
    """What a step may use. The evaluation split is not in it: no option is ever chosen on it.

    Attributes:
        task: how a batch is fed and a training step is taken.
        data: `train` and `calibration`; `evaluation` is withheld (None).
        root: the project root, which relative paths start from.
        seed: every random choice derives from it.
        progress: called with what is being done, for the terminal's live line.
        reference: the float model as its source gives it, loaded anew at each call: a teacher for what became of it.
    """

    task: Task
    data: Dataset | None
    root: Path
    seed: int
    progress: Callable[[str], None]
    reference: Callable[[], Subject] | None = None

    def calibration(self, step: str, otherwise: str = "") -> Split:
        """The samples to calibrate on.

        Args:
            step: who does what with them, such as ``gptq calibrates``: the sentence begins so.
            otherwise: the way out that these options leave, after a comma.

        Raises:
            MethodError: the spec has no data.
        """
        if self.data is None:
            raise MethodError(f"{step} on data: the spec needs `data:`{otherwise}")
        return self.data.calibration

    def training(self, step: str, otherwise: str = "") -> Split:
        """The samples to train on; the arguments as for `calibration`, such as ``lora trains``.

        Raises:
            MethodError: the data has no training split.
        """
        if self.data is None or self.data.train is None:
            raise MethodError(f"{step}: it needs data with a training split{otherwise}")
        return self.data.train


class Trait(StrEnum):
    """What a step leaves in a model that a later step may undo; the value is how sentences name it."""

    WORK = "all that was done"
    ZEROS = "the zeros that were made"
    TIED_ZEROS = "the zeros in output layers tied to an embedding that were made"
    CODEBOOKS = "the sharing of values that was done"


def tied_zeros(keep: Sequence[str]) -> frozenset[Trait]:
    """Whether pruning is held to leave zeros in output layers tied to an embedding: `keep` may name those."""
    return frozenset() if keep else frozenset({Trait.TIED_ZEROS})


class Method(Options):
    """One step of `compress:`."""

    method: str
    forms: ClassVar[Mapping[Form, Form]]
    needs_data: ClassVar[bool] = False
    # Options that are for a model received in that form alone: for any other, a spec that sets one is refused.
    only: ClassVar[Mapping[Form, tuple[str, ...]]] = {}

    @property
    def transitions(self) -> Mapping[Form, Returned]:
        """Accepted form → returned form, or those that it may be, under these options; known before anything loads."""
        return self.forms

    def foreign(self, form: Form) -> Mapping[str, Form]:
        """The options, other than left at their defaults, that mean nothing for a model received in `form`.

        Returns:
            Option → the form that it is for.
        """
        elsewhere = {name: own for own, names in self.only.items() if own is not form for name in names}
        fields = type(self).model_fields
        return {name: own for name, own in elsewhere.items() if getattr(self, name) != fields[name].default}

    @property
    def leaves(self) -> frozenset[Trait]:
        """What this step puts into the model, for a later step to spare."""
        return frozenset({Trait.WORK})

    @property
    def undoes(self) -> frozenset[Trait]:
        """What of the steps before is gone after this one: a spec with such an order is refused when it is loaded.

        A step that trains moves the values that weights shared.
        """
        trains = any(isinstance(value, Training) for _, value in self)
        return frozenset({Trait.CODEBOOKS}) if trains else frozenset()

    @abstractmethod
    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Compress. May change `subject.model` in place; returns the subject that the next step receives.

        Raises:
            MethodError: the step cannot be taken on this model, with the reason.
        """

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Sentences in which the reloaded artifact contradicts this step; empty where it bears the step out.

        Args:
            before: counted on the float artifact.
            after: counted on the compressed artifact, after all steps.
        """
        return []

    def fingerprint(self, root: Path) -> str:
        """What outside the options decides the outcome, for example the bytes of a given file."""
        return ""


METHODS: Registry[Method] = Registry("methods", "method")
