"""Pruning at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness.methods.base import METHODS
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    from torch.nn.utils.prune import BasePruningMethod


@METHODS.register
class RandomPruning(Unstructured):
    """Set weights to zero that the seed picks, whatever they are worth.

    The control that any criterion must beat: D. Blalock et al., "What is the State of Neural Network Pruning?", 2020.
    """

    method: Literal["random-pruning"] = "random-pruning"

    def pruning(self) -> type[BasePruningMethod]:
        """By chance."""
        from torch.nn.utils.prune import RandomUnstructured

        return RandomUnstructured
