"""Structured pruning: whole channels are removed, and the layers become smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names, chosen, weighted
from harness.methods.pruning.structural import Criterion, importance, missing_removal, remove
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    from torch import nn


@METHODS.register
class ChannelPruning(Method):
    """Remove the output channels of least importance, with everything that reads them.

    Layers that must keep equal widths (residual connections, depthwise convolutions) are pruned together. The layers
    that make the model's output are never pruned.
    G. Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, by its library torch-pruning. Importance by norm:
    H. Li et al., "Pruning Filters for Efficient ConvNets", 2017; by first-order effect on the loss: P. Molchanov et
    al., "Importance Estimation for Neural Network Pruning", 2019, as taylor-pruning; by second-order effect: as
    optimal-brain-damage; both summed over all weights of layers that go with a channel.
    """

    method: Literal["channel-pruning"] = "channel-pruning"
    also: ClassVar[Mapping[str, str]] = {
        "filter-pruning": "", "structured-pruning": "", "l1-filter-pruning": "importance: l1",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    ratio: float = Field(gt=0, lt=1, description="share of channels to remove")
    importance: Criterion = Field(
        default="l2",
        description="what a channel is worth: the norm of its weights, its first-order (taylor) or second-order "
        "(hessian) effect on the loss, or nothing (the control)",
    )
    samples: int = Field(default=512, ge=1, description="training samples that derivatives are taken on")
    scope: Literal["global", "layer"] = Field(
        default="layer",
        description="the share holds in each layer, or over all layers together: norms count there relative to their "
        "layer's mean, effects on the loss as they are",
    )
    most: float = Field(
        default=0.9, gt=0, lt=1, description="largest share that one layer may lose where the scope is global"
    )
    round_to: int | None = Field(
        default=None, ge=1, description="keep a multiple of so many channels in each layer, fewer rather than more"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, whose outputs stay as many")
    finetune: Training | None = Field(default=None, description="train afterwards")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune, check that the outputs have their shapes, and train if asked to."""
        model: nn.Module = subject.model.eval()
        layers = weighted(model)
        kept = [layers[name][0] for name in chosen("keep", self.keep, layers)]
        remove(
            subject, importance(self.importance, model, workshop, self.samples), self.ratio, method=self.method,
            seed=workshop.seed, scope=self.scope, most=self.most, round_to=self.round_to, keep=kept,
        )  # fmt: skip
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No parameter fewer, or fewer of them by less than a quarter of the asked share of channels."""
        return missing_removal(before, after, "channel", self.ratio / 4)
