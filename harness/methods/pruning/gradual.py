"""Gradual pruning: the mask grows while the model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop, tied_zeros
from harness.methods.layers import Names
from harness.methods.pruning.masks import Scope, missing_zeros, prunable, prune
from harness.methods.pruning.schedules import cubic, stepwise
from harness.methods.pruning.zeros import finetune, kept_zero
from harness.training import Training

if TYPE_CHECKING:
    from torch import nn


@METHODS.register
class GradualPruning(Method):
    """Train, and set ever more of the weights of least magnitude to zero meanwhile, by a cubic schedule.

    M. Zhu, S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017, eq. 1.
    A weight that was pruned stays zero; what is left of the training after `end` is recovery.
    """

    method: Literal["gradual-pruning"] = "gradual-pruning"
    also: ClassVar[Mapping[str, str]] = {"agp": "", "automated-gradual-pruning": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    sparsity: float = Field(gt=0, lt=1, description="share of weights that is zero at the end: s_f")
    initial: float = Field(default=0.0, ge=0, lt=1, description="share that is pruned at the first update: s_i")
    begin: float = Field(default=0.0, ge=0, lt=1, description="share of the training that passes before pruning starts")
    end: float = Field(default=0.7, gt=0, le=1, description="share of the training after which pruning is over")
    every: int = Field(default=10, ge=1, description="training steps from one update of the mask to the next: Δt")
    scope: Scope = Field(
        default="global", description="the share holds over all layers together, or in each layer (the paper's)"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    train: Training = Field(default=Training(epochs=4), description="the training in which the weights are pruned")

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Train once, pruning on the way."""
        model: nn.Module = subject.model
        split = workshop.training(f"{self.method} trains")
        weights = prunable(model, self.keep, self.method)
        hold = kept_zero(model)

        def update(trained: nn.Module, passed: float) -> None:
            nonlocal hold
            hold(trained)
            scores = {name: weight.detach().abs() for name, weight in weights.items()}
            prune(weights, scores, cubic(self.sparsity, passed, self.initial), self.scope)
            hold = kept_zero(trained)

        after_step = stepwise(
            update, steps=self.train.steps(len(split), workshop.task), begin=self.begin, end=self.end, every=self.every,
            after=lambda trained: hold(trained),
        )  # fmt: skip
        finetune(model, self.train, workshop, asked=self.method, after_step=after_step)
        update(model, 1.0)  # a training that skips a lone last sample takes a few steps fewer
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros than were asked for, over all layers or in one of them."""
        return missing_zeros(before, after, self.sparsity, self.scope, self.keep)
