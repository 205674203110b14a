"""Neuron pruning: units of linear layers are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names, chosen, weighted
from harness.methods.pruning.curvature import samples
from harness.methods.pruning.structural import importance, missing_removal, remove
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.methods.pruning.structural import Importance


@METHODS.register
class NeuronPruning(Method):
    """Remove units of hidden linear layers, with everything that reads them; convolutions stay as they are.

    By default those that are positive on the fewest samples: the fewest zeros after a ReLU stay. H. Hu et al., "Network
    Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures", 2016, eq. 1 (APoZ).
    """

    method: Literal["neuron-pruning"] = "neuron-pruning"
    also: ClassVar[Mapping[str, str]] = {"ffn-pruning": "", "structured-pruning": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    needs_data: ClassVar[bool] = True
    ratio: float = Field(gt=0, lt=1, description="share of units to remove from each hidden layer")
    importance: Literal["active", "l1", "l2", "random", "taylor", "hessian"] = Field(
        default="active",
        description="what a unit is worth: the share of samples on which it is positive; or as in channel-pruning",
    )
    samples: int = Field(default=1024, ge=1, description="training samples that activity or derivatives are taken on")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, whose units stay as many")
    finetune: Training | None = Field(default=None, description="train afterwards")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Remove units, check that the outputs have their shapes, and train if asked to."""
        from torch import nn

        model: nn.Module = subject.model.eval()
        layers = weighted(model)
        kept = [layers[name][0] for name in chosen("keep", self.keep, layers)]
        others = [layer for layer, _ in layers.values() if not isinstance(layer, nn.Linear)]
        if len(others) == len(layers):
            raise MethodError(f"{self.method}: the model has no linear layer")
        worth = (
            activity(model, workshop, self.samples)
            if self.importance == "active"
            else importance(self.importance, model, workshop, self.samples)
        )
        remove(subject, worth, self.ratio, method=self.method, seed=workshop.seed, keep=[*kept, *others])
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No linear layer has fewer units than it had."""
        had = {one.name: one.shape for one in before.matrices}
        fewer = [
            one for one in after.matrices if len(one.shape) == 2 and one.name in had and one.shape[0] < had[one.name][0]
        ]
        if fewer:
            return []
        return missing_removal(before, after, "unit", 0.0) or ["no linear layer has fewer units than it had"]


def activity(model: nn.Module, workshop: Workshop, count: int) -> Importance:
    """The share of samples (and of their own positions) on which each unit of a linear layer is positive."""
    import torch
    from torch import nn

    positive: dict[nn.Module, torch.Tensor] = {}
    seen: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _: Any, answer: torch.Tensor) -> None:
        rows = batch.rows(answer)
        positive[layer] = positive.get(layer, 0) + (rows > 0).sum(0)
        seen[layer] = seen.get(layer, 0) + len(rows)

    hooks = [part.register_forward_hook(note) for part in model.modules() if isinstance(part, nn.Linear)]
    try:
        with torch.no_grad():
            for batch in samples(workshop, count):
                model(*batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()

    def worth(group: Any) -> torch.Tensor | None:
        dependency, units = group[0]
        layer = dependency.target.module
        if layer not in positive:
            return None
        return positive[layer][units] / seen[layer]

    return worth
