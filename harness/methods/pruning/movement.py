"""Movement pruning: weights that training moves towards zero go, however large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import Field

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop, tied_zeros
from harness.methods.layers import Names
from harness.methods.pruning.masks import Scope, least, missing_zeros, prunable
from harness.methods.pruning.schedules import cubic, stepwise
from harness.methods.pruning.zeros import finetune, kept_zero
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class MovementPruning(Method):
    """Train weights and their scores together; the weights of least score are masked, by a cubic schedule.

    A score gathers ``-dL/dW' * W``: it rises where training moves a weight away from zero. Masked weights keep being
    scored through the mask (straight-through), and may return. V. Sanh, T. Wolf, A. Rush, "Movement Pruning: Adaptive
    Sparsity by Fine-Tuning", 2020, eqs. 1 and 2 and section 4 (hard movement pruning, Top_v).
    """

    method: Literal["movement-pruning"] = "movement-pruning"
    also: ClassVar[Mapping[str, str]] = {"movement": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    sparsity: float = Field(gt=0, lt=1, description="share of weights that is zero at the end")
    begin: float = Field(
        default=0.2, gt=0, lt=1, description="share of the training in which scores gather before pruning starts"
    )
    end: float = Field(default=0.8, gt=0, le=1, description="share of the training after which pruning is over")
    every: int = Field(default=1, ge=1, description="training steps from one update of the mask to the next")
    scope: Scope = Field(default="global", description="the share holds over all layers together, or in each layer")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    train: Training = Field(
        default=Training(epochs=10, optimizer="adamw", learning_rate=0.003),
        description="the training in which the weights are pruned; Adam, as in the paper: by SGD scores follow the few "
        "largest gradients, and networks collapse",
    )

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Train once, masking on the way, and leave plain weights with zeros."""
        model: nn.Module = subject.model
        split = workshop.training(f"{self.method} trains")
        zeros = kept_zero(model)
        masks = _attach(model, list(prunable(model, self.keep, self.method)))

        reached = 0.0

        def update(_: nn.Module, passed: float) -> None:
            nonlocal reached
            reached = passed
            for name, gone in least(_scores(masks), cubic(self.sparsity, passed), self.scope).items():
                # Early on fewer are to be zero than earlier steps have made.
                masks[name].gone = gone | masks[name].given

        after_step = stepwise(
            update, steps=self.train.steps(len(split), workshop.task), begin=self.begin, end=self.end, every=self.every,
            after=zeros,  # of layers that no mask is on: under a mask they are, and weights go by other names
        )  # fmt: skip
        try:
            finetune(model, self.train, workshop, asked=self.method, after_step=after_step)
            # A training that skips a lone last sample takes a few steps fewer. Otherwise the last steps were trained
            # under the mask as it is, and a new one would undo them.
            if reached < 1.0:
                update(model, 1.0)
        finally:
            _detach(model, masks)
        zeros(model)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros than were asked for, over all layers or in one of them."""
        return missing_zeros(before, after, self.sparsity, self.scope, self.keep)


class _Mask(Protocol):
    """What masks one weight: its scores, flat, so that no weight decay is laid on them, and where it is zero."""

    scores: nn.Parameter
    given: torch.Tensor
    gone: torch.Tensor


def _attach(model: nn.Module, names: Sequence[str]) -> dict[str, _Mask]:
    """Put a mask with scores before each of these weights."""
    import torch
    from torch import nn
    from torch.nn.utils.parametrize import register_parametrization

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, weight: torch.Tensor, scores: torch.Tensor, gone: torch.Tensor
        ) -> torch.Tensor:  # the scores are an input so that they get a gradient
            ctx.save_for_backward(weight, gone)
            return weight.masked_fill(gone, 0)

        @staticmethod
        def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
            weight, gone = ctx.saved_tensors
            return slopes[0].masked_fill(gone, 0), (slopes[0] * weight).flatten(), None

    class Masked(nn.Module):
        def __init__(self, weight: nn.Parameter) -> None:
            super().__init__()
            scores = torch.zeros(weight.numel(), dtype=weight.dtype)
            self.scores = nn.Parameter(scores, requires_grad=weight.requires_grad)
            self.given = weight.detach() == 0  # by an earlier step
            self.gone = self.given

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            masked: torch.Tensor = Product.apply(weight, self.scores, self.gone)
            return masked

    masks: dict[str, _Mask] = {}
    for name in names:
        place, _, parameter = name.rpartition(".")
        mask = Masked(model.get_parameter(name))
        masks[name] = mask
        register_parametrization(model.get_submodule(place), parameter, mask)
    return masks


def _detach(model: nn.Module, masks: Mapping[str, _Mask]) -> None:
    """Leave the masked weights where the weights were, in their old order."""
    from torch.nn.utils.parametrize import remove_parametrizations

    for name in masks:
        place, _, parameter = name.rpartition(".")
        layer = model.get_submodule(place)
        others = [other for other in layer._parameters if other != parameter]
        remove_parametrizations(layer, parameter, leave_parametrized=True)
        for other in others:
            layer._parameters[other] = layer._parameters.pop(other)


def _scores(masks: Mapping[str, _Mask]) -> dict[str, torch.Tensor]:
    import torch

    return {
        name: mask.scores.detach().view_as(mask.given).masked_fill(mask.given, -torch.inf)
        for name, mask in masks.items()
    }
