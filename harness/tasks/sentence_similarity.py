"""Sentence similarity: how alike two texts are, as the cosine between their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.errors import MethodError, Unmeasurable
from harness.tasks.base import TASKS, Task

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch


@TASKS.register
class SentenceSimilarity(Task):
    """Which texts mean the same; models return one embedding a text, of shape (batch, features)."""

    task: Literal["sentence-similarity"] = "sentence-similarity"
    also: ClassVar[Mapping[str, str]] = {"sts": "", "semantic-textual-similarity": "", "feature-extraction": ""}
    batch: int = 16
    head: ClassVar[str | None] = "sentence-embedding"
    gives: ClassVar[frozenset[str]] = frozenset({"embedding"})
    targets: ClassVar[str] = "similarities"

    def answers(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """The embedding of each text.

        Returns:
            ``embedding``: float32, shape (batch, features).

        Raises:
            Unmeasurable: the output is no matrix of embeddings.
        """
        embedding = outputs[0]
        if embedding.ndim != 2:
            raise Unmeasurable(
                "sentence similarity needs embeddings of shape (batch, features); the model returned "
                f"{tuple(embedding.shape)}"
            )
        return {"embedding": embedding.float().numpy()}

    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """None is defined: similarities of pairs do not say what an embedding should be.

        Raises:
            MethodError: always.
        """
        raise MethodError("sentence-similarity has no loss to train with: give a step that needs no training")

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """Mean squared difference of the embeddings; they have no temperature and no direction.

        N. Reimers, I. Gurevych, "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
        2020, section 3.
        """
        from torch.nn.functional import mse_loss

        ours, theirs = (one if hasattr(one, "ndim") else one[0] for one in (student, teacher))
        return mse_loss(ours, theirs)
