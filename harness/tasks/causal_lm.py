"""Causal language modeling: how probable a text is to a model, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.data.windows import UNSCORED
from harness.errors import Unmeasurable
from harness.tasks.base import TASKS, Task
from harness.tasks.logits import divergence_of_logits

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch

    Tensors = tuple[torch.Tensor, ...]

# Logits of a whole window are half a gigabyte where a vocabulary has 262,144 tokens: they are worked on in parts.
POSITIONS = 64
# What stands for a window where outputs are kept: so many windows, and so many of their first tokens.
EXCERPT = 2, 32


@TASKS.register
class CausalLM(Task):
    """Which token comes next; models return logits of shape (batch, tokens, vocabulary) for every position."""

    task: Literal["causal-lm"] = "causal-lm"
    also: ClassVar[Mapping[str, str]] = {
        "language-modeling": "", "language-modelling": "", "text-generation": "", "llm": "",
    }  # fmt: skip
    batch: int = 1
    head: ClassVar[str | None] = "language-model"
    gives: ClassVar[frozenset[str]] = frozenset({"nll", "scored", "best", "divergence"})
    targets: ClassVar[str] = "tokens"
    generates: ClassVar[bool] = True

    def excerpt(self, inputs: Tensors) -> Tensors:
        """The first tokens of the first windows: earlier logits do not depend on later tokens."""
        return tuple(part[: EXCERPT[0], : EXCERPT[1]] for part in inputs)

    def answers(self, outputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """None: what is kept of logits depends on the tokens that came.

        Raises:
            Unmeasurable: always; `answers_to` has them.
        """
        raise Unmeasurable(
            "a causal language model is scored from logits against the tokens that follow: see `answers_to`"
        )

    def answers_to(self, batch: Batch, outputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """How probable the tokens of each window were.

        Returns:
            ``nll``: float64, shape (batch,), the sum over scored tokens of -log P(token), in nats; ``scored``: int32,
            shape (batch,), how many they are; ``best``: int32, shape (batch, width), the most probable token at each
            position, -1 where no token is scored. Of equal logits the first counts.

        Raises:
            Unmeasurable: the outputs are no logits of every position.
        """
        import torch

        logits = _logits(batch, outputs)
        rows, width = batch.targets.shape
        nll = torch.zeros(rows, dtype=torch.float64)
        best = torch.full((rows, width), -1, dtype=torch.int32)
        for places, part, targets in _parts(batch, logits):
            scored = targets != UNSCORED
            chances = torch.log_softmax(part, dim=-1)
            nll -= _picked(chances, targets).sum(dim=1)
            best[:, places] = torch.where(scored, part.argmax(dim=-1), -1).int()
        return {
            "nll": nll.numpy(),
            "scored": (batch.targets != UNSCORED).sum(dim=1).int().numpy(),
            "best": best.numpy(),
        }

    def compared(self, batch: Batch, reference: Tensors, compressed: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """KL(float ‖ compressed) of the next token's distribution, over the whole vocabulary.

        Returns:
            ``divergence``: float64, shape (batch,), the sum over scored tokens, in nats; ``nll`` of the float model and
            ``scored``: as `answers_to` has them.

        Raises:
            Unmeasurable: the outputs of one of the models are no logits of every position.
        """
        import torch

        total, nll = (torch.zeros(len(batch.targets), dtype=torch.float64) for _ in range(2))
        ours, theirs = (_parts(batch, _logits(batch, outputs)) for outputs in (reference, compressed))
        for (_, one, targets), (_, other, _) in zip(ours, theirs, strict=True):
            scored = targets != UNSCORED
            log_p, log_q = torch.log_softmax(one, dim=-1), torch.log_softmax(other, dim=-1)
            each = (log_p.exp() * (log_p - log_q)).double().sum(dim=-1)
            total += torch.where(scored, each, torch.zeros_like(each)).sum(dim=1)
            nll -= _picked(log_p, targets).sum(dim=1)
        return {
            "divergence": total.numpy(),
            "nll": nll.numpy(),
            "scored": (batch.targets != UNSCORED).sum(dim=1).int().numpy(),
        }

    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean cross-entropy of the scored tokens.

        Args:
            model: returns logits of shape (batch, tokens, vocabulary).
            batch: targets as `harness.data.windows` gives them.
            label_smoothing: share of each target that is spread evenly over the vocabulary.
        """
        from torch.nn.functional import cross_entropy

        logits: torch.Tensor = model(*batch.inputs)
        targets = batch.targets[:, : logits.shape[1]]
        return cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=UNSCORED, label_smoothing=label_smoothing
        )

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """Mean Kullback-Leibler divergence of the softened next tokens, times the square of the temperature.

        Given the batch, over the tokens that are scored: what fills a window up is no text, and answers there teach
        nothing.
        """
        if batch is not None:
            scored = batch.targets[:, : student.shape[1]] != UNSCORED
            student, teacher = student[scored], teacher[scored]
        return divergence_of_logits(student, teacher, temperature, reverse=reverse)


def _logits(batch: Batch, outputs: Tensors) -> torch.Tensor:
    """Logits of every position, held to the tokens of the batch."""
    logits = outputs[0]
    shape = tuple(batch.inputs[0].shape)
    if logits.ndim != 3 or tuple(logits.shape[:2]) != shape:
        raise Unmeasurable(
            "causal-lm needs logits of shape (batch, tokens, vocabulary), here "
            f"({shape[0]}, {shape[1]}, …); the model returned {tuple(logits.shape)}"
        )
    most = int(batch.targets.max())
    if most >= logits.shape[-1]:
        raise Unmeasurable(
            f"the text holds the token {most:,}, and the model knows {logits.shape[-1]:,}: the tokenizer is not "
            "this model's"
        )
    return logits


def _picked(log_chances: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-probability of the token that came, in nats, shape (batch, tokens), in float64; 0 where none is scored."""
    picked = log_chances.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1).double()
    return picked.where(targets != UNSCORED, 0)


def _parts(batch: Batch, logits: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Some positions at a time: where they are, their logits in float32, their targets."""
    for start in range(0, logits.shape[1], POSITIONS):
        places = slice(start, min(start + POSITIONS, logits.shape[1]))
        yield places, logits[:, places].float(), batch.targets[:, places]
