"""Network slimming: training decides which channels are small, and those are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names, chosen, weighted
from harness.methods.pruning.structural import missing_removal, remove
from harness.methods.pruning.zeros import finetune
from harness.training import Training, task_loss

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Batch


@METHODS.register
class NetworkSlimming(Method):
    """Train with an L1 penalty on the scales of batch normalization, then remove the channels of least scale.

    ``L = sum l(f(x), y) + λ sum |scale|``: Z. Liu et al., "Learning Efficient Convolutional Networks through Network
    Slimming", 2017, eq. 1. The threshold is one for the whole network, as in the paper; channels that a residual sum
    joins are removed together, by torch-pruning, and count by their mean scale.
    """

    method: Literal["network-slimming"] = "network-slimming"
    also: ClassVar[Mapping[str, str]] = {"slimming": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    ratio: float = Field(gt=0, lt=1, description="share of channels to remove, over all layers together")
    penalty: float = Field(default=1e-3, gt=0, description="weight of the scales' absolute values in the loss: λ")
    most: float = Field(default=0.9, gt=0, lt=1, description="largest share that one layer may lose")
    round_to: int | None = Field(
        default=None, ge=1, description="keep a multiple of so many channels in each layer, fewer rather than more"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, whose outputs stay as many")
    train: Training = Field(default=Training(epochs=2), description="the training with the penalty")
    finetune: Training | None = Field(default=Training(epochs=1), description="train afterwards, without it")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Train with the penalty, remove, train again."""
        import torch_pruning

        model: nn.Module = subject.model
        scales = batch_scales(model)
        if not scales:
            raise MethodError(
                f"{self.method} removes channels by the scales of batch normalization, and the model has none: "
                "use channel-pruning"
            )

        own = task_loss(workshop.task, self.train.label_smoothing)

        def loss(trained: nn.Module, batch: Batch) -> torch.Tensor:
            absolute = sum((scale.abs().sum() for scale in scales), start=scales[0].new_zeros(()))
            return own(trained, batch) + self.penalty * absolute

        finetune(model, self.train, workshop, asked=self.method, loss=loss)
        layers = weighted(model)
        remove(
            subject, torch_pruning.importance.BNScaleImportance(normalizer=None), self.ratio, method=self.method,
            seed=workshop.seed, scope="global", most=self.most, round_to=self.round_to,
            keep=[layers[name][0] for name in chosen("keep", self.keep, layers)],
        )  # fmt: skip
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No parameter fewer, or too few of them for the share of channels."""
        return missing_removal(before, after, "channel", self.ratio / 4)


def batch_scales(model: nn.Module) -> list[nn.Parameter]:
    """The scales of all batch normalization layers, in the model's order."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    found = [part.weight for part in model.modules() if isinstance(part, _BatchNorm)]
    return [one for one in found if isinstance(one, nn.Parameter)]
