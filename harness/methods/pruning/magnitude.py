"""Pruning by magnitude."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness.methods.base import METHODS
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    from torch.nn.utils.prune import BasePruningMethod


@METHODS.register
class MagnitudePruning(Unstructured):
    """Set the weights of least magnitude to zero.

    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural Networks", 2015.
    """

    method: Literal["magnitude-pruning"] = "magnitude-pruning"

    def pruning(self) -> type[BasePruningMethod]:
        """By absolute value."""
        from torch.nn.utils.prune import L1Unstructured

        return L1Unstructured
