"""What tasks share that give one label a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.tasks.base import Answers, Task
from harness.tasks.logits import divergence_of_logits

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch

KEPT = 5


class Classification(Task):
    """Which of several classes a sample belongs to; models return logits of shape (batch, classes)."""

    gives: ClassVar[frozenset[str]] = frozenset({"ranked", "probability"})
    targets: ClassVar[str] = "classes"
    score: ClassVar[str] = "probability"
    cross_entropy: ClassVar[bool] = True
    samples: ClassVar[str]

    def answers(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """The best classes of each sample.

        Args:
            outputs: logits first, shape (batch, classes).

        Returns:
            ``ranked``: int16, shape (batch, min(5, classes)), best first. Equal logits, which low precision makes
            common, rank in the order of their classes, so that a rank never depends on a sorting kernel.

        Raises:
            Unmeasurable: the output is no matrix of logits, or some are not finite.
        """
        import torch

        logits = outputs[0]
        if logits.ndim != 2 or not 1 < logits.shape[1] <= np.iinfo(np.int16).max:
            raise Unmeasurable(
                f"{self.task} needs logits of shape (batch, classes); the model returned {tuple(logits.shape)}"
            )
        broken = int((~torch.isfinite(logits)).any(dim=1).sum())
        if broken:
            raise Unmeasurable(
                f"the model returned logits that are not finite for {broken} of {len(logits)} {self.samples}"
            )
        ranked = torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :KEPT]
        return {"ranked": ranked.to(torch.int16).numpy()}

    def answers_to(self, batch: Batch, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """The best classes of each sample, and how probable its true one is to the model.

        Args:
            batch: targets are class indices of shape (batch,); of others only the best classes are kept.
            outputs: logits first, shape (batch, classes).

        Returns:
            ``ranked`` as `answers` has it. ``probability``: float32, shape (batch,), what the softmax of a sample's
            logits gives to its true class, the target, whichever class the model names. It is 0 where the model has
            no output for that class.

        Raises:
            Unmeasurable: as `answers` does.
        """
        kept = self.answers(outputs)
        if batch.targets.ndim == 1:
            kept["probability"] = _probability_of_truth(outputs[0], batch.targets)
        return kept

    def require_classes(self, shapes: Sequence[tuple[int, ...]], classes: Sequence[str], which: str) -> None:
        """As many logits as the data has classes: otherwise output 3 need not mean class 3.

        Raises:
            Unmeasurable: with both numbers and where to give the classes.
        """
        logits = shapes[0]
        if classes and len(logits) == 2 and logits[1] != len(classes):
            raise Unmeasurable(
                f"the {which} model has {logits[1]:,} outputs, and the data has {len(classes):,} classes, so which "
                "output means which class is not known: build the model with as many outputs, or, with "
                "`source: folder`, list under `classes:` what each output means, in order (a class may lack images)"
            )

    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean cross-entropy of the logits.

        Args:
            model: returns logits of shape (batch, classes).
            batch: targets are class indices of shape (batch,), or probabilities of shape (batch, classes).
            label_smoothing: share of each target that is spread evenly over all classes (Szegedy et al., 2016).
        """
        from torch.nn.functional import cross_entropy

        logits: torch.Tensor = model(*batch.inputs)
        return cross_entropy(logits, batch.targets, label_smoothing=label_smoothing)

    def accuracy(self, answers: Answers, targets: np.ndarray[Any, Any]) -> float:
        """Share of samples whose best class is the target."""
        return float((answers["ranked"][:, 0] == targets).mean())

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """Mean Kullback-Leibler divergence of the softened classes, times the square of the temperature."""
        return divergence_of_logits(student, teacher, temperature, reverse=reverse)


def _probability_of_truth(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray[Any, Any]:
    """Softmax of logits of shape (batch, classes) at the targets: float32, shape (batch,)."""
    import torch

    # Where a model leaves more or fewer rows than it was given, what is kept is refused, and by its number of rows.
    rows = min(len(logits), len(targets))
    chances, truth = torch.softmax(logits[:rows].double(), dim=1), targets[:rows].long()
    classes = chances.shape[1]
    picked = chances.gather(1, truth.clamp(0, classes - 1).unsqueeze(1)).squeeze(1)
    known = (truth >= 0) & (truth < classes)
    probability: np.ndarray[Any, Any] = picked.where(known, 0).float().numpy()
    return probability
