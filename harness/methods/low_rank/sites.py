"""Layers that can be replaced by several smaller ones, and what those smaller ones are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Split

    L = TypeVar("L", nn.Linear, nn.Conv2d)

Array = np.ndarray[Any, Any]
BATCH = 64


@dataclass(frozen=True)
class Site:
    """One linear layer or ungrouped 2-D convolution of a model.

    Attributes:
        name: in the model.
        layer: the module.
        before, after: rows and columns of its input and output for one sample; (rows, 1) for a linear layer.
        calls: how often a forward pass uses it.
    """

    name: str
    layer: nn.Linear | nn.Conv2d
    before: tuple[int, int]
    after: tuple[int, int]
    calls: int

    @cached_property
    def weight(self) -> Array:
        """Float64, shape (outputs, inputs) or (outputs, inputs, height, width)."""
        return self.layer.weight.detach().double().cpu().numpy()

    @property
    def kernel(self) -> tuple[int, ...]:
        """Height and width of the kernel; (1, 1) for a linear layer."""
        return self.weight.shape[2:] or (1, 1)

    @property
    def parameters(self) -> int:
        """Elements of the weight."""
        return self.weight.size

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return self.weight.size * prod(self.after) * self.calls


class Factors(ABC):
    """One way to replace a layer, of known cost and error.

    Attributes:
        ranks: what was chosen.
        parameters: weight elements of the new layers, biases not counted.
        macs: multiply-accumulates of one sample.
    """

    ranks: tuple[int, ...]
    parameters: int
    macs: int

    @property
    @abstractmethod
    def error(self) -> float:
        """Squared error: of the weights, or of the outputs where the inputs' moments were given."""

    @abstractmethod
    def module(self) -> nn.Module:
        """The new layers, which take what the old one takes and give what it gives."""


def sites(model: nn.Module, example: tuple[torch.Tensor, ...]) -> list[Site]:
    """Every layer that can be replaced, in the order of the forward pass.

    Left out are grouped convolutions, those padded on one side more than on the other, layers that share their weight
    with another module, and subclasses, whose users may reach for their weights.
    """
    import torch
    from torch import nn

    owners = Counter(id(one) for module in model.modules() for one in module._parameters.values() if one is not None)
    seen: dict[nn.Module, list[tuple[tuple[int, int], tuple[int, int]]]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        places = ((_rows(inputs[0]), 1), (_rows(output), 1)) if isinstance(layer, nn.Linear) else (
            (inputs[0].shape[-2], inputs[0].shape[-1]), (output.shape[-2], output.shape[-1])
        )  # fmt: skip
        seen.setdefault(layer, []).append(places)

    fitting: dict[nn.Module, str] = {
        layer: name
        for name, layer in model.named_modules()
        if (type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1 and _even(layer)))
        and owners[id(layer.weight)] == 1
    }
    hooks = [layer.register_forward_hook(note) for layer in fitting]
    try:
        with torch.no_grad():
            model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        Site(fitting[layer], layer, *places[0], calls=len(places))  # type: ignore[arg-type]
        for layer, places in seen.items()
    ]


def _rows(x: torch.Tensor) -> int:
    return x.numel() // x.shape[-1] // len(x)


def replace_layer(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """The model with a layer replaced wherever it stands."""
    if model is old:
        return new
    # Before any is replaced: the new layer may hold the old.
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new
    return model


def linear(weight: Array, bias: Array | None = None) -> nn.Linear:
    """A float32 linear layer with this weight, shape (outputs, inputs)."""
    from torch import nn

    # Built without drawing weights from the global generator.
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _filled(layer, weight, bias)


def convolution(
    weight: Array,
    bias: Array | None = None,
    *,
    like: nn.Conv2d | None = None,
    axes: tuple[bool, bool] = (True, True),
    groups: int = 1,
) -> nn.Conv2d:
    """A float32 convolution with this weight, shape (outputs, inputs of a group, height, width).

    Args:
        weight: the kernels.
        bias: shape (outputs,).
        like: takes stride, padding and dilation of this layer; without it the convolution is one at each place.
        axes: which of height and width take them.
        groups: of channels.
    """
    from torch import nn

    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    stride = padding = dilation = None
    if like is not None:
        mode, around = like.padding_mode, _around(like)
        stride, padding, dilation = like.stride, (around[2], around[0]), like.dilation

    def taken(given: tuple[int, ...] | None, idle: int) -> tuple[int, int]:
        height, width = given or (idle, idle)
        return (height if axes[0] else idle, width if axes[1] else idle)

    layer = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], weight.shape[2:], stride=taken(stride, 1),
        padding=taken(padding, 0), dilation=taken(dilation, 1), groups=groups,
        bias=bias is not None, padding_mode=mode, device="meta",
    )  # fmt: skip
    return _filled(layer, weight, bias)


def _filled(layer: L, weight: Array, bias: Array | None) -> L:
    import torch

    layer.to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
    return layer.eval()


def watch_inputs(
    model: nn.Module, layers: dict[str, nn.Module], split: Split, seen: Callable[[str, torch.Tensor], None]
) -> None:
    """Run the model over a split, and show the inputs of some layers as they come."""
    import torch

    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen(name, inputs[0]))
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            for batch in split.unpadded(BATCH):
                model(*batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()


@dataclass
class Moments:
    """First and second moments of what a layer multiplies: rows of a linear layer, patches of a convolution.

    Attributes:
        mean: shape (columns,).
        second: shape (columns, columns), the mean of the outer products, not centred.
    """

    mean: Array
    second: Array


def moments(model: nn.Module, where: list[Site], split: Split) -> dict[str, Moments]:
    """The inputs' moments of each site over a split."""
    from torch import nn
    from torch.nn.functional import unfold

    layers = {site.name: site.layer for site in where}
    sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    counts: Counter[str] = Counter()

    def add(name: str, x: torch.Tensor) -> None:
        layer = layers[name]
        if isinstance(layer, nn.Conv2d):
            padded = nn.functional.pad(x, _around(layer), mode=_padding_mode(layer)) if any(_around(layer)) else x
            patches = unfold(padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)
            rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
        else:
            rows = x.reshape(-1, x.shape[-1]).double()
        total, outer = rows.sum(0), rows.T @ rows
        before = sums.get(name)
        sums[name] = (total, outer) if before is None else (before[0] + total, before[1] + outer)
        counts[name] += len(rows)

    watch_inputs(model, dict(layers), split, add)
    return {
        name: Moments((total / counts[name]).numpy(), (outer / counts[name]).numpy())
        for name, (total, outer) in sums.items()
    }


def _even(layer: nn.Conv2d) -> bool:
    left, right, top, bottom = _around(layer)
    return left == right and top == bottom


def _padding_mode(layer: nn.Conv2d) -> str:
    return "constant" if layer.padding_mode == "zeros" else layer.padding_mode


def _around(layer: nn.Conv2d) -> list[int]:
    """Padding as `torch.nn.functional.pad` takes it: left, right, top, bottom. Torch keeps it on the layer."""
    return list(layer._reversed_padding_repeated_twice)
