"""Structured pruning: whole channels are removed, and the layers become smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, chosen, weighted
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class ChannelPruning(Method):
    """Remove the output channels of least importance, with everything that reads them.

    Layers that must keep equal widths (residual connections, depthwise convolutions) are pruned together. The layers
    that make the model's output are never pruned.
    G. Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, by its library torch-pruning; importance by norm:
    H. Li et al., "Pruning Filters for Efficient ConvNets", 2017.
    """

    method: Literal["channel-pruning"] = "channel-pruning"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    ratio: float = Field(gt=0, lt=1, description="share of channels to remove")
    importance: Literal["l1", "l2", "random"] = Field(
        default="l2", description="what a channel is worth: the norm of its weights, or nothing (the control)"
    )
    scope: Literal["global", "layer"] = Field(
        default="layer", description="the share holds in each layer, or over all layers together"
    )
    most: float = Field(
        default=0.9, gt=0, lt=1, description="largest share that one layer may lose where the scope is global"
    )
    round_to: int | None = Field(
        default=None, ge=1, description="keep a multiple of so many channels in each layer, fewer rather than more"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, whose outputs stay as many")
    finetune: Training | None = Field(default=None, description="train afterwards")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share, where it trains."""
        return frozenset() if self.finetune is None else frozenset({Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune, check that the outputs have their shapes, and train if asked to."""
        import torch
        import torch_pruning

        model: nn.Module = subject.model.eval()
        shapes = _shapes(model, subject.example)
        layers = weighted(model)
        ignored = _last(model, subject.example) | {layers[name][0] for name in chosen("keep", self.keep, layers)}
        # Random importance draws from the global generator.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(workshop.seed)
            torch_pruning.BasePruner(
                model,
                subject.example,
                importance=torch_pruning.importance.RandomImportance()
                if self.importance == "random"
                else torch_pruning.importance.MagnitudeImportance(p=int(self.importance[1:])),
                global_pruning=self.scope == "global",
                pruning_ratio=self.ratio,
                max_pruning_ratio=self.most if self.scope == "global" else 1.0,
                ignored_layers=list(ignored),
                round_to=self.round_to,
                # The library's defaults are dictionaries that all its pruners share.
                in_channel_groups={},
                out_channel_groups={},
                num_heads={},
            ).step()
        try:
            now = _shapes(model, subject.example)
        except RuntimeError as error:
            raise MethodError(f"channel-pruning left layers that do not fit together: {error}") from error
        if now != shapes:
            raise MethodError(
                f"channel-pruning changed the outputs from {shapes} to {now}: name the layers that make them in `keep`"
            )
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No parameter fewer, or fewer of them by less than a quarter of the asked share of channels."""
        left = after.parameters / before.parameters
        if left >= 1:
            return [f"no channel is gone: {after.parameters:,} parameters, {before.parameters:,} before"]
        if 1 - left < self.ratio / 4:
            return [
                f"{self.ratio:.0%} of the channels were to go, and {1 - left:.1%} of the parameters did "
                f"({before.parameters:,} to {after.parameters:,})"
            ]
        return []


def _shapes(model: nn.Module, example: tuple[torch.Tensor, ...]) -> list[tuple[int, ...]]:
    import torch

    with torch.no_grad():
        return [tuple(output.shape) for output in _tensors(model(*example))]


def _last(model: nn.Module, example: tuple[torch.Tensor, ...]) -> set[nn.Module]:
    """The layers whose results the model gives out, and the one that ran last."""
    import torch

    made: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: made.append((layer, output)))
        for layer in {layer for layer, name in weighted(model).values() if name == "weight"}
    ]
    try:
        with torch.no_grad():
            outputs = {output.untyped_storage().data_ptr() for output in _tensors(model(*example))}
    finally:
        for hook in hooks:
            hook.remove()
    if not made:
        raise MethodError("channel-pruning: the model has no linear or convolution layer")
    return {layer for layer, output in made if output.untyped_storage().data_ptr() in outputs} | {made[-1][0]}


def _tensors(outputs: object) -> list[torch.Tensor]:
    import torch

    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [tensor for part in outputs for tensor in _tensors(part)] if isinstance(outputs, list | tuple) else []
