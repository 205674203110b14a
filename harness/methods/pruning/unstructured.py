"""What pruning single weights has in common, whatever scores them: one shot, or rounds with training between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import Method, Trait, Workshop, tied_zeros
from harness.methods.layers import Names
from harness.methods.pruning.masks import Scope, missing_zeros, prunable, prune
from harness.methods.pruning.schedules import Course, rounds
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


class Unstructured(Method):
    """Set a share of the weights of linear and convolution layers to zero."""

    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    sparsity: float = Field(gt=0, lt=1, description="share of weights to set to zero")
    scope: Scope = Field(default="global", description="the share holds over all layers together, or in each layer")
    rounds: int = Field(default=1, ge=1, le=100, description="prune in so many rounds, scoring anew in each")
    course: Course = Field(
        default="geometric",
        description="how sparsity grows over the rounds: each takes the same share of what is left (geometric), the "
        "same number (linear), or ever fewer (cubic)",
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(default=None, description="train after each round; zeros stay zero")

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    @abstractmethod
    def scores(
        self, model: nn.Module, weights: Mapping[str, nn.Parameter], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """What each weight is worth: tensors of the weights' shapes; the least are pruned."""

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune and train in turn. The file does not shrink: zeros are stored like any other number."""
        weights = prunable(subject.model, self.keep, self.method)
        for index, sparsity in enumerate(rounds(self.sparsity, self.rounds, self.course)):
            turn = replace(workshop, seed=workshop.seed * self.rounds + index)
            if self.rounds > 1:
                workshop.progress(f"round {index + 1} of {self.rounds}: {sparsity:.1%} zeros")
            prune(weights, self.scores(subject.model, weights, turn), sparsity, self.scope)
            if self.finetune is not None:
                finetune(subject.model, self.finetune, turn)
        return replace(subject, model=subject.model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros than were asked for, over all layers or in one of them."""
        return missing_zeros(before, after, self.sparsity, self.scope, self.keep)
