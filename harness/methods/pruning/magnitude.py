"""Pruning by magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.methods.base import METHODS, Workshop
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class MagnitudePruning(Unstructured):
    """Set the weights of least magnitude to zero.

    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural Networks", 2015.
    """

    method: Literal["magnitude-pruning"] = "magnitude-pruning"
    also: ClassVar[Mapping[str, str]] = {
        "magnitude": "", "weight-pruning": "", "unstructured-pruning": "", "deep-compression": "", "pruning": "",
    }  # fmt: skip

    def scores(
        self, model: nn.Module, weights: Mapping[str, nn.Parameter], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """Absolute values."""
        return {name: weight.detach().abs() for name, weight in weights.items()}
