"""Faults on purpose: compressions that are wrong, for proving that the gate refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import chosen, weighted


@METHODS.register
class ShuffledWeights(Method):
    """Fault injection: put the weights of one layer in random order.

    Size, sparsity, operators and every statistic of the weights stay as they are, so only a measured accuracy tells.
    """

    method: Literal["shuffled-weights"] = "shuffled-weights"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    fault: ClassVar[bool] = True
    layer: str | None = Field(default=None, description="which; unset: the one with most weights")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Permute one weight matrix, as the seed has it."""
        import torch

        places = weighted(subject.model)
        if self.layer is not None:
            places = {name: places[name] for name in chosen("layer", [self.layer], places)}
        if not places:
            raise MethodError("shuffled-weights: the model has no linear or convolution layer")
        weight = max((getattr(part, name) for part, name in places.values()), key=torch.numel)
        order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(workshop.seed))
        with torch.no_grad():
            weight.copy_(weight.flatten()[order].view_as(weight))
        return replace(subject, model=subject.model)


@METHODS.register
class DropoutLeftOn(Method):
    """Fault injection: drop a tenth of the inputs at random, whatever mode the model is in."""

    method: Literal["dropout-left-on"] = "dropout-left-on"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    fault: ClassVar[bool] = True

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Put the dropout before the model."""
        import torch

        class Dropping(torch.nn.Module):
            def __init__(self, model: torch.nn.Module) -> None:
                super().__init__()
                self.model = model

            def forward(self, first: torch.Tensor, *others: torch.Tensor) -> object:
                return self.model(torch.nn.functional.dropout(first, 0.1, training=True), *others)

        return replace(subject, model=Dropping(subject.model).eval())


@METHODS.register
class RegrownZeros(Method):
    """Fault injection: put a weight too small to matter wherever one is zero, as training without the mask would.

    Size, shapes and accuracy stay as they are, so only the evidence of the step before tells.
    """

    method: Literal["regrown-zeros"] = "regrown-zeros"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    fault: ClassVar[bool] = True

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Replace zeros in every weight matrix."""
        import torch

        with torch.no_grad():
            for part, name in weighted(subject.model).values():
                weight = getattr(part, name)
                weight.masked_fill_(weight == 0, 1e-9)
        return replace(subject, model=subject.model)


@METHODS.register
class StrayValues(Method):
    """Fault injection: move a few weights of one layer a little, each by another amount.

    Accuracy and size hardly change; only counting its values shows that the layer shares them no more.
    """

    method: Literal["stray-values"] = "stray-values"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    fault: ClassVar[bool] = True
    count: int = Field(default=40, ge=1, description="weights to move")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Move the first weights that are not zero, of the layer with most weights."""
        import torch

        places = weighted(subject.model)
        if not places:
            raise MethodError("stray-values: the model has no linear or convolution layer")
        weight = max((getattr(part, name) for part, name in places.values()), key=torch.numel)
        with torch.no_grad():
            moved = weight.flatten().nonzero().flatten()[: self.count]
            weight.view(-1)[moved] *= 1 + 1e-3 * torch.arange(1, len(moved) + 1) / self.count
        return replace(subject, model=subject.model)
