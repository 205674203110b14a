"""What every task is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.errors import MethodError, Unmeasurable
from harness.registry import Options, Registry

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch

# What one model answered on an evaluation split: named arrays whose first axis is the sample.
Answers = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Evaluation:
    """Both models' answers on the same samples.

    Attributes:
        reference, compressed: the answers of the float and of the compressed model.
        targets: the truth, first axis the sample.
        units: shape (samples,), the sampling unit of each.
        names: what a report calls each sample.
        data: fingerprint of the samples.
    """

    reference: Answers
    compressed: Answers
    targets: np.ndarray[Any, Any]
    units: np.ndarray[Any, Any]
    names: list[str]
    data: str


class Task(Options):
    """A task, named by `task:`."""

    task: str
    batch: int = 64
    # A model is traced and run on samples of its data; a task whose inputs need none says so.
    needs_data: ClassVar[bool] = True
    # What metrics ask for: the arrays that `answers_to` keeps and `compared` gives, by name; what the targets of its
    # data are; and whether its models make one token after another.
    gives: ClassVar[frozenset[str]] = frozenset()
    targets: ClassVar[str] = ""
    generates: ClassVar[bool] = False
    # Which of its answers scores each sample, shape (samples,), for tables to tell beside what was right or wrong.
    score: ClassVar[str] = ""
    # Whether `loss` is the mean cross-entropy of logits of shape (batch, classes), whose curvature has a closed form.
    cross_entropy: ClassVar[bool] = False
    # Whether what is to be found in an image stays the same where the image is shifted and turned a little.
    movable: ClassVar[bool] = False
    # What the card of a model in the zoo says of `accuracy`: `share` on so many `samples` of the data `source`.
    said: ClassVar[str] = "Accuracy: {share:.2%} of the {samples:,} samples that `{source}` holds out"
    # What a transformer ends in that does this task (`head` of `source: transformers`), where that is plain.
    head: ClassVar[str | None] = None

    @abstractmethod
    def answers(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """What to keep of one batch of outputs: compact arrays whose first axis is the sample."""

    def answers_to(self, batch: Batch, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """What to keep of one batch of outputs, where that depends on the batch; else `answers`.

        A task whose outputs are too large to keep, such as logits of every token, scores them here.
        """
        return self.answers(outputs)

    def compared(
        self, batch: Batch, reference: tuple[torch.Tensor, ...], compressed: tuple[torch.Tensor, ...]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """What both models' outputs on one batch say of each other, where the answers kept of each do not tell it.

        Raises:
            Unmeasurable: the task has no such comparison.
        """
        raise Unmeasurable(f"{self.task} compares the kept answers of both models, and no outputs")

    def excerpt(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """What stands for some inputs where all outputs are kept; a part of them where outputs are large."""
        return inputs

    def parts(self, outputs: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs of one batch, taken apart where one tensor holds figures of several ranges.

        Whether two runs answer alike is asked of each part by its own range: beside pixels in the hundreds, scores
        between 0 and 1 could be anything.

        Args:
            outputs: tensors, or arrays, whose first axis is the batch.
        """
        return tuple(outputs)

    def require_classes(self, shapes: Sequence[tuple[int, ...]], classes: Sequence[str], which: str) -> None:
        """Hold a model's outputs to the classes of the data; nothing where a task has none.

        Args:
            shapes: of the outputs of one batch.
            classes: what the targets of the data count; empty where the data does not say.
            which: what sentences call the model.

        Raises:
            Unmeasurable: the two do not belong together.
        """

    @abstractmethod
    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """The scalar that one training step lowers.

        Args:
            model: the model in training.
            batch: inputs and targets.
            label_smoothing: share of a label spread over all classes. Not passed where it is 0; a task without
                labels refuses it.
        """

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """How far a student's outputs on a batch are from its teacher's: the scalar that distillation lowers.

        Args:
            student: what the model in training returned.
            teacher: what the model to learn from returned for the same inputs.
            temperature: what logits are divided by; gradients keep their scale.
            reverse: from the student's distribution to the teacher's, which seeks its modes, and not the other way.
            batch: what both were given, and its targets: a task that scores a part of the outputs compares that part.

        Raises:
            MethodError: the task has no such measure.
        """
        raise MethodError(f"{self.task} has no divergence between two models' outputs: match features or attention")

    def accuracy(self, answers: Answers, targets: np.ndarray[Any, Any]) -> float:
        """The one figure that says how good a model is: what a recipe's floor is held against.

        Raises:
            MethodError: the task has no such figure.
        """
        raise MethodError(f"{self.task} has no one figure that a recipe could be held to")

    def whole(
        self, run: Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]], inputs: tuple[torch.Tensor, ...]
    ) -> Callable[[], object]:
        """A call from what arrives in use to what leaves: the model with all that is done before and after it.

        Args:
            run: the model.
            inputs: a batch as the model takes it, which the call makes again from what arrives.

        Raises:
            Unmeasurable: nothing is done before or after.
        """
        raise Unmeasurable(f"{self.task} does nothing before or after the model: leave `stages` out")


TASKS: Registry[Task] = Registry("tasks", "task")
