"""What pruning single weights has in common, whatever picks them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen, multiplied, weighted
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch.nn.utils.prune import BasePruningMethod


class Unstructured(Method):
    """Set a share of the weights of linear and convolution layers to zero."""

    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    sparsity: float = Field(gt=0, lt=1, description="share of weights to set to zero")
    scope: Literal["global", "layer"] = Field(
        default="global", description="the share holds over all layers together, or in each layer"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(default=None, description="train afterwards; zeros stay zero")

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS})

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share, where it trains."""
        return frozenset() if self.finetune is None else frozenset({Trait.CODEBOOKS})

    @abstractmethod
    def pruning(self) -> type[BasePruningMethod]:
        """What picks the weights: torch's own method, made with the number to prune."""

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune, then train if asked to. The file does not shrink: zeros are stored like any other number."""
        import torch

        layers = weighted(subject.model)
        kept = chosen("keep", self.keep, layers)
        weights = [getattr(layer, parameter) for name, (layer, parameter) in layers.items() if name not in kept]
        if not weights:
            raise MethodError(f"{self.method}: no linear or convolution layer is left to prune")
        # Torch's random pruning draws from the global generator.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(workshop.seed)
            for group in [weights] if self.scope == "global" else [[one] for one in weights]:
                self._prune(group)
        if self.finetune is not None:
            finetune(subject.model, self.finetune, workshop)
        return replace(subject, model=subject.model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros than were asked for, over all layers or in one of them."""
        held = [one for one in multiplied(after.tensors) if not below(one.name, self.keep)]
        groups = [held] if self.scope == "global" else [[one] for one in held]
        shapes = {one.name: one.shape for one in before.tensors}
        smaller = any(shapes.get(one.name, one.shape) != one.shape for one in held)
        hint = ". Channels were removed too, and zeros with them: remove channels first" if smaller else ""
        sentences = []
        for group in groups:
            zeros, elements = sum(one.zeros for one in group), sum(one.elements for one in group)
            if zeros < round(self.sparsity * elements):
                where = "the pruned layers" if self.scope == "global" else group[0].name
                sentences.append(
                    f"{zeros:,} of {elements:,} weights in {where} are zero ({zeros / elements:.2%}), "
                    f"and {self.sparsity:.2%} was asked for{hint}"
                )
        return sentences

    def _prune(self, weights: list[torch.Tensor]) -> None:
        """Zero the share of these weights, taken together, in place.

        Only torch's criterion is used: its parametrization would keep the dense weights, and reorder the parameters.
        """
        import torch

        flat = torch.cat([one.flatten() for one in weights])
        pruning = self.pruning()(amount=round(self.sparsity * flat.numel()))  # type: ignore[call-arg]
        mask: torch.Tensor = pruning.compute_mask(flat, torch.ones_like(flat))  # type: ignore[no-untyped-call]
        parts = torch.split(mask, [one.numel() for one in weights])
        for weight, part in zip(weights, parts, strict=True):
            # A product would leave negative zeros, which are no zero bytes.
            weight.masked_fill_(part.view_as(weight) == 0, 0)
