"""Wanda: pruning by weights and activations, a row at a time, with no training and no change of what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.compensation import moments_in_turn
from harness.methods.layers import Names, chosen, multiplied_or_coded, of_embedding
from harness.methods.pruning.n_m_sparsity import missing_pattern, pattern, require_one_goal
from harness.methods.quantization.grouping import plain_linear

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class Wanda(Method):
    """Set to zero, in each row of a linear layer, the weights of least ``|w| * ||x||``, x their inputs on calibration.

    Weights that are left stay as they are. Block by block, on the inputs that each gets from the blocks pruned before
    it. Rows are compared with themselves only, so every output loses as many weights. Embeddings, and an output layer
    tied to one, are left alone, as are convolutions.
    M. Sun, Z. Liu, A. Bair, J. Z. Kolter, "A Simple and Effective Pruning Approach for Large Language Models", 2024,
    equation 1 and section 3.
    """

    method: Literal["wanda"] = "wanda"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    needs_data: ClassVar[bool] = True
    sparsity: float | None = Field(default=None, gt=0, lt=1, description="share of each row's weights that goes")
    n: int | None = Field(default=None, ge=1, le=64, description="instead: so many weights are left of every `m`")
    m: int | None = Field(default=None, ge=2, le=64, description="neighbours along the inputs, of which `n` are left")
    batch: int = Field(default=8, ge=1, description="calibration samples a run")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")

    @model_validator(mode="after")
    def _one_goal(self) -> Wanda:
        require_one_goal(self.sparsity, self.n, self.m)
        return self

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights, and none in an output layer that is tied to an embedding."""
        return frozenset({Trait.WORK, Trait.ZEROS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune the layers in the order in which they run."""
        import torch

        model: nn.Module = subject.model.eval()
        calibration = workshop.calibration(f"{self.method} calibrates")
        layers = plain_linear(model)
        kept = chosen("keep", self.keep, layers)
        left = {name: layer for name, layer in layers.items() if name not in kept}
        if not left:
            raise MethodError(f"{self.method}: no linear layer is left to prune")
        # Logits of a language model's windows are large: no more at once than its task takes.
        batch = min(self.batch, workshop.task.batch)
        with torch.no_grad():
            for name, moments in moments_in_turn(model, left, calibration, batch, workshop.progress):
                weight = left[name].weight
                weight.masked_fill_(self.gone(weight, moments.diagonal().sqrt()), 0)
        return replace(subject, model=model)

    def gone(self, weight: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """Which weights go, of shape (rows, columns), given the norms of their inputs, shape (columns).

        Of equal scores the first goes, and what is zero counts first.
        """
        import torch

        scores = (weight.abs().double() * norms).masked_fill(weight == 0, -1.0)
        if self.n is not None and self.m is not None:
            if weight.shape[1] % self.m:
                return torch.zeros_like(weight, dtype=torch.bool)  # dense, as n-m-sparsity leaves it
            return pattern(scores, self.n, self.m)
        assert self.sparsity is not None
        least = torch.sort(scores, dim=1, stable=True).indices[:, : round(self.sparsity * weight.shape[1])]
        return torch.zeros_like(weight, dtype=torch.bool).scatter_(1, least, True)

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros in a layer than were asked for."""
        held = [
            one
            for one in multiplied_or_coded(before, after, self.keep)
            if len(one.shape) == 2 and not of_embedding(one, before)
        ]
        if self.n is not None and self.m is not None:
            return missing_pattern(held, self.n, self.m)
        assert self.sparsity is not None
        few = [one for one in held if one.zeros < one.shape[0] * round(self.sparsity * one.columns)]
        return [
            f"{one.zeros:,} of {one.stands_for:,} weights in {one.name} are zero ({one.zeros / one.stands_for:.2%}), "
            f"and {self.sparsity:.2%} of each row was asked for"
            for one in few
        ]
