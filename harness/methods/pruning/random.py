"""Pruning at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.methods.base import METHODS, Workshop
from harness.methods.pruning.unstructured import Unstructured

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class RandomPruning(Unstructured):
    """Set weights to zero that the seed picks, whatever they are worth.

    The control that any criterion must beat: D. Blalock et al., "What is the State of Neural Network Pruning?", 2020.
    """

    method: Literal["random-pruning"] = "random-pruning"
    also: ClassVar[Mapping[str, str]] = {"random": ""}

    def scores(
        self, model: nn.Module, weights: Mapping[str, nn.Parameter], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """Chance."""
        import torch

        sizes = [weight.numel() for weight in weights.values()]
        drawn = -torch.rand(sum(sizes), generator=torch.Generator().manual_seed(workshop.seed))
        parts = zip(weights.items(), torch.split(drawn, sizes), strict=True)
        return {name: part.view_as(weight) for (name, weight), part in parts}
