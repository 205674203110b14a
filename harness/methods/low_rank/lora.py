"""LoRA: recovery of what a step has cost, by training corrections of low rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.batch_norm import reestimate
from harness.methods.layers import Names, chosen, in_float32, weighted
from harness.methods.low_rank.adapters import DOWN, beside, correction, frozen, merge, small_ones
from harness.methods.low_rank.sites import replace_layer
from harness.training import Training, train

if TYPE_CHECKING:
    from torch import nn

RECOVERY = Training(optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)


@METHODS.register
class Lora(Method):
    """Train low-rank corrections of the weights, which themselves stay as they are; then add them, or keep them beside.

    For recovering what pruning or factorising has cost: fewer numbers are trained than by fine-tuning, and what the
    weights hold is not forgotten. Zeros stay zero where corrections are added. On its own it compresses nothing.
    E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, equation 3; for convolutions the kernel is
    taken as a matrix of outputs by patch elements.
    """

    method: Literal["lora"] = "lora"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    rank: int = Field(default=8, ge=1, description="of each correction; less where a layer has not as many")
    alpha: float = Field(default=16.0, gt=0, description="corrections are scaled by alpha / rank")
    targets: Names = Field(default=(), description="layers, or modules with all their layers, to correct; unset: all")
    small: bool = Field(
        default=False, description="train biases, and scales and shifts of normalization, along with the corrections"
    )
    merge: bool = Field(
        default=True, description="add the corrections to the weights; else keep them as two small layers beside each"
    )
    train: Training = Field(default=RECOVERY, description="how the corrections are trained")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share, where corrections are added."""
        return frozenset({Trait.CODEBOOKS}) if self.merge else frozenset()

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Correct, train, and merge or keep."""
        import torch
        from torch.nn.utils.parametrize import register_parametrization

        if workshop.data is None or workshop.data.train is None:
            raise MethodError("lora trains: it needs data with a training split")
        in_float32(subject.model, self.method)
        model: nn.Module = subject.model.eval()
        layers = weighted(model)
        names = chosen("targets", self.targets, layers) if self.targets else set(layers)
        places = {name: place for name, place in layers.items() if name in names}
        if not places:
            raise MethodError("lora: the model has no linear or convolution layer")
        if not self.merge:
            _require_plain(places)
        scale, generator = self.alpha / self.rank, torch.Generator().manual_seed(workshop.seed)
        small = small_ones(model) if self.small else []
        with frozen(model):
            for layer, name in places.values():
                weight = getattr(layer, name)
                register_parametrization(layer, name, correction(weight, self.rank, scale, generator))
            for parameter in small:
                parameter.requires_grad_(True)
            train(model, workshop.data.train, workshop.task, self.train, seed=workshop.seed, progress=workshop.progress)
        if self.merge:
            merge(places.values())
        else:
            for layer, _ in places.values():
                model = replace_layer(model, layer, beside(layer, scale))  # type: ignore[arg-type]
        reestimate(model, workshop.data.train, batch=self.train.batch, seed=workshop.seed)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Corrections that are stored though they were to be added, or the other way round."""
        stored = sum(f".{DOWN}." in f".{tensor.name}." for tensor in after.tensors if tensor.matrix)
        if self.merge and stored:
            return [f"{stored} corrections lie beside the weights, and all were to be added to them"]
        if not self.merge and not stored:
            return ["no correction lies beside the weights, and all were to be kept there"]
        return []


def _require_plain(places: Mapping[str, tuple[nn.Module, str]]) -> None:
    from torch import nn

    for name, (layer, _) in places.items():
        if type(layer) is not nn.Linear and not (type(layer) is nn.Conv2d and layer.groups == 1):
            raise MethodError(
                f"lora cannot keep a correction beside {name} ({type(layer).__name__}): only beside linear layers and "
                "ungrouped 2-D convolutions; leave it out of `targets`, or set `merge: true`"
            )
