"""LoRA: recovery of what a step has cost, by training corrections of low rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.artifacts.bitsandbytes_layers import Bnb4bitLinear, BnbInt8Linear
from harness.artifacts.quantized_layers import GroupedLinear
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.batch_norm import reestimate
from harness.methods.layers import Names, chosen, in_float32, weighted
from harness.methods.low_rank.adapters import (
    DOWN,
    beside,
    corrected_layer,
    correction,
    frozen,
    merge,
    settled,
    small_ones,
)
from harness.methods.low_rank.sites import replace_layer
from harness.methods.quantization.grouping import tied_heads
from harness.methods.teacher import runnable
from harness.training import Training, train

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Batch
    from harness.training import Loss

RECOVERY = Training(optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)


@METHODS.register
class Lora(Method):
    """Train low-rank corrections of the weights, which themselves stay as they are; then add them, or keep them beside.

    For recovering what pruning or factorising has cost: fewer numbers are trained than by fine-tuning, and what the
    weights hold is not forgotten. Zeros stay zero where corrections are added. On its own it compresses nothing.
    Beside weights that are stored as integers (`gptq`, `bnb-nf4`, …) corrections are kept: `merge: false`.
    E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, equation 3; for convolutions the kernel is
    taken as a matrix of outputs by patch elements.
    """

    method: Literal["lora"] = "lora"
    also: ClassVar[Mapping[str, str]] = {"low-rank-adaptation": ""}
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
    learn_from: Literal["data", "float-model"] = Field(
        default="data", description="the task's own loss, or the divergence from the float model's answers"
    )
    train: Training = Field(default=RECOVERY, description="how the corrections are trained")

    @model_validator(mode="after")
    def _labels_to_smooth(self) -> Lora:
        if self.learn_from == "float-model" and self.train.label_smoothing:
            raise ValueError(
                "train.label_smoothing smooths labels, and `learn_from: float-model` looks at none: leave it out"
            )
        return self

    @property
    def transitions(self) -> Mapping[Form, Form]:
        """Nothing can be added to weights that are stored as integers: beside them a correction can be kept."""
        return self.forms if self.merge else {**self.forms, Form.WEIGHT_ONLY: Form.WEIGHT_ONLY}

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share, where corrections are added."""
        return frozenset({Trait.CODEBOOKS}) if self.merge else frozenset()

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Correct, train, and merge or keep."""
        import torch
        from torch.nn.utils.parametrize import register_parametrization

        split = workshop.training("lora trains")
        model: nn.Module = subject.model.eval()
        if subject.form is not Form.WEIGHT_ONLY:
            in_float32(model, self.method)
        layers = self._layers(model)
        names = chosen("targets", self.targets, layers) if self.targets else set(layers)
        places = {name: place for name, place in layers.items() if name in names}
        if not places:
            raise MethodError("lora: the model has no linear or convolution layer")
        if self.merge:
            _require_own(model, places)
        else:
            _require_plain(places)
        scale, generator = self.alpha / self.rank, torch.Generator().manual_seed(workshop.seed)
        small = small_ones(model) if self.small else []
        packed = {name: layer for name, (layer, _) in places.items() if hasattr(layer, "description")}
        with frozen(model):
            for name, (layer, weight) in places.items():
                if name in packed:
                    packed[name] = corrected_layer(layer, self.rank, scale, generator)
                    model = replace_layer(model, layer, packed[name])
                else:
                    what = correction(getattr(layer, weight), self.rank, scale, generator, masked=self.merge)
                    register_parametrization(layer, weight, what)
            for parameter in small:
                parameter.requires_grad_(True)
            loss = self._divergence(workshop) if self.learn_from == "float-model" else None
            train(
                model, split, workshop.task, self.train,
                seed=workshop.seed, progress=workshop.progress, loss=loss, labelled=loss is None,
            )  # fmt: skip
        for layer in packed.values():
            settled(layer)
        plain = [place for name, place in places.items() if name not in packed]
        if self.merge:
            merge(plain)
        else:
            for layer, _ in plain:
                model = replace_layer(model, layer, beside(layer, scale))  # type: ignore[arg-type]
        reestimate(model, split, batch=self.train.batch_for(workshop.task), seed=workshop.seed)
        return replace(subject, model=model.eval())

    def _layers(self, model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
        """What can be corrected; an output layer that is tied to an embedding is left to it."""
        heads = {id(head) for head in tied_heads(model)}
        found = {name: place for name, place in weighted(model).items() if id(place[0]) not in heads}
        for name, layer in model.named_modules():
            told = getattr(layer, "description", None)
            if isinstance(told, GroupedLinear | BnbInt8Linear | Bnb4bitLinear):
                found[name] = (layer, "")
        return found

    def _divergence(self, workshop: Workshop) -> Loss:
        """From the float model's answers to the same inputs."""
        import torch

        if workshop.reference is None:
            raise MethodError("lora: there is no float model to learn from")
        teacher = runnable(workshop.reference(), "lora")

        def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
            with torch.no_grad():
                answers = teacher(*batch.inputs)
            return workshop.task.divergence(model(*batch.inputs), answers, 1.0, batch=batch)

        return loss

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Corrections that are stored though they were to be added, or the other way round."""
        stored = sum(f".{DOWN}." in f".{tensor.name}." for tensor in after.tensors if tensor.matrix)
        if self.merge and stored:
            return [f"{stored} corrections lie beside the weights, and all were to be added to them"]
        if not self.merge and not stored:
            return ["no correction lies beside the weights, and all were to be kept there"]
        return []


def _require_own(model: nn.Module, places: Mapping[str, tuple[nn.Module, str]]) -> None:
    """Hold corrections that are added to weights of one layer: of two that share theirs, each would get both."""
    owners: dict[int, list[str]] = {}
    for name, part in model.named_modules():
        for parameter in part.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(name)
    for name, (layer, weight) in places.items():
        others = [one for one in owners.get(id(getattr(layer, weight, None)), ()) if one != name]
        if others:
            raise MethodError(
                f"lora cannot add a correction to the weight of {name}, which is that of {others[0]} too: leave both "
                "out of `targets`, or set `merge: false`"
            )


def _require_plain(places: Mapping[str, tuple[nn.Module, str]]) -> None:
    from torch import nn

    for name, (layer, _) in places.items():
        if hasattr(layer, "description"):
            continue
        if type(layer) is not nn.Linear and not (type(layer) is nn.Conv2d and layer.groups == 1):
            raise MethodError(
                f"lora cannot keep a correction beside {name} ({type(layer).__name__}): only beside linear layers and "
                "ungrouped 2-D convolutions; leave it out of `targets`, or set `merge: true`"
            )
