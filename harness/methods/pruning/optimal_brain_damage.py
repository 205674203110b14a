"""Optimal Brain Damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.methods.base import METHODS, Workshop
from harness.methods.pruning.curvature import gauss_newton, hutchinson
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class OptimalBrainDamage(Unstructured):
    """Set the weights to zero of least saliency ``h w^2 / 2``, h the second derivative of the error by the weight.

    Y. LeCun, J. Denker, S. Solla, "Optimal Brain Damage", 1990, eqs. 3 and 4. The exact diagonals are the Gauss-Newton
    ones, which neglect nothing between units, as the paper's backward recursion (its eqs. 7 to 9) does. For the loss
    that is the Hessian's own diagonal in ReLU networks. Of the outputs: their squared error, as in the paper, from what
    the network answers now, so that no label is needed and the gradient is zero as the theory supposes; exact in any
    network. A negative curvature, which only an estimate gives, counts as none.
    """

    method: Literal["optimal-brain-damage"] = "optimal-brain-damage"
    also: ClassVar[Mapping[str, str]] = {"obd": ""}
    needs_data: ClassVar[bool] = True
    curvature: Literal["loss", "outputs", "hutchinson"] = Field(
        default="loss",
        description="of a classifier's cross-entropy, or of the squared error of the outputs, both exact; or of any "
        "task's loss, estimated by random signs (hutchinson)",
    )
    samples: int = Field(default=512, ge=1, description="training samples that the curvature is taken on")

    def scores(
        self, model: nn.Module, weights: Mapping[str, nn.Parameter], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """Saliencies."""
        workshop.progress("taking second derivatives")
        if self.curvature == "hutchinson":
            diagonal = hutchinson(model, weights, workshop, self.samples)
        else:
            diagonal = gauss_newton(model, weights, workshop, self.samples, self.curvature)
        return {name: diagonal[name].clamp(min=0) * weight.detach() ** 2 / 2 for name, weight in weights.items()}
