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
from harness.methods.base import Method, Workshop
from harness.methods.layers import Names, below, chosen, multiplied, weighted
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    from torch import nn
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

    @abstractmethod
    def pruning(self) -> type[BasePruningMethod]:
        """What picks the weights: torch's own method, called with `amount`."""

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune, then train if asked to. The file does not shrink: zeros are stored like any other number."""
        import torch
        from torch.nn.utils import prune

        layers = weighted(subject.model)
        kept = chosen("keep", self.keep, layers)
        targets = [place for name, place in layers.items() if name not in kept]
        if not targets:
            raise MethodError(f"{self.method}: no linear or convolution layer is left to prune")
        # Torch's random pruning draws from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(workshop.seed)
            if self.scope == "global":
                prune.global_unstructured(targets, self.pruning(), amount=self._count(targets))
            else:
                for layer, name in targets:
                    amount = self._count([(layer, name)])
                    self.pruning().apply(layer, name, amount=amount)  # type: ignore[no-untyped-call]
        for layer, name in targets:
            # Until then the module holds the dense weights and a mask beside them.
            prune.remove(layer, name)  # type: ignore[no-untyped-call]
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

    def _count(self, targets: list[tuple[nn.Module, str]]) -> int:
        elements: int = sum(getattr(layer, name).numel() for layer, name in targets)
        return round(self.sparsity * elements)
