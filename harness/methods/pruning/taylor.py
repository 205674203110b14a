"""Pruning by a first-order Taylor expansion of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.methods.base import METHODS, Workshop
from harness.methods.pruning.curvature import squared_effects
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class TaylorPruning(Unstructured):
    """Set the weights to zero whose loss is felt least to first order: least ``(g w)^2``, over batches.

    P. Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019, eq. 8, for single weights. For whole
    channels and neurons: `importance: taylor` of channel-pruning and neuron-pruning.
    """

    method: Literal["taylor-pruning"] = "taylor-pruning"
    also: ClassVar[Mapping[str, str]] = {"taylor": "", "first-order-pruning": ""}
    needs_data: ClassVar[bool] = True
    samples: int = Field(default=1024, ge=1, description="training samples that gradients are taken on")

    def scores(
        self, model: nn.Module, weights: Mapping[str, nn.Parameter], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """Squared first-order effects."""
        return squared_effects(model, weights, workshop, self.samples)
