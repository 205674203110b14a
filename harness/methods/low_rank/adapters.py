"""Low-rank corrections of weights: trained in place of the weights, then added to them or kept beside them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.artifacts.quantized_layers import CorrectedLinear, corrected
from harness.methods.layers import ADAPTERS
from harness.methods.low_rank.sites import convolution, linear

if TYPE_CHECKING:
    import torch
    from torch import nn

DOWN, UP = ADAPTERS


def correction(weight: torch.Tensor, rank: int, scale: float, generator: torch.Generator, masked: bool) -> nn.Module:
    """A parametrization W → W + scale · B A, with A random and B zero, so that at first it changes nothing.

    A kernel is taken as a matrix of outputs by patch elements.
    E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, equation 3.

    Args:
        weight: two axes or more, outputs first.
        rank: of B A; no more than the matrix can have.
        scale: alpha / rank in the paper.
        generator: draws A.
        masked: weights that are zero stay zero, as they must where B A is added to them. Two layers beside the weight
            know no such mask: what is to become `beside` is trained without.
    """
    import torch
    from torch import nn

    rows, columns = len(weight), weight[0].numel()
    rank = min(rank, rows, columns)
    mask = weight != 0 if masked and bool((weight == 0).any()) else None

    class Correction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # As nn.Linear draws its weights: uniform within 1 / sqrt(inputs).
            bound = columns**-0.5
            self.a = nn.Parameter((torch.rand(rank, columns, generator=generator) * 2 - 1) * bound)
            self.b = nn.Parameter(torch.zeros(rows, rank))

        def forward(self, original: torch.Tensor) -> torch.Tensor:
            added = scale * (self.b @ self.a).view_as(original)
            return original + (added if mask is None else added * mask)

    return Correction()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it, no parameter that the model has now asks for a gradient; afterwards each does what it did."""
    asked = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, wanted in asked:
            parameter.requires_grad_(wanted)


def small_ones(model: nn.Module) -> list[nn.Parameter]:
    """Biases, and the scales and shifts of normalization: everything that is no matrix."""
    return [parameter for parameter in model.parameters() if parameter.ndim < 2]


def merge(places: Iterable[tuple[nn.Module, str]]) -> None:
    """Add the correction of each layer to its weight, and take it away."""
    import torch
    from torch.nn.utils.parametrize import remove_parametrizations

    for layer, name in places:
        corrected = getattr(layer, name).detach().clone()
        remove_parametrizations(layer, name, leave_parametrized=False)
        with torch.no_grad():
            getattr(layer, name).copy_(corrected)
        # Torch has put the weight behind the bias.
        layer._parameters[name] = layer._parameters.pop(name)
        for other in [one for one in layer._parameters if one != name]:
            layer._parameters[other] = layer._parameters.pop(other)


def beside(layer: nn.Linear | nn.Conv2d, scale: float) -> nn.Module:
    """The layer as it was, with its correction as two small layers beside it."""
    from torch import nn
    from torch.nn.utils.parametrize import remove_parametrizations

    found: Any = layer.parametrizations["weight"][0]  # type: ignore[index]
    down, up = found.a.detach().double().numpy(), scale * found.b.detach().double().numpy()
    remove_parametrizations(layer, "weight", leave_parametrized=False)
    layer._parameters["weight"] = layer._parameters.pop("weight")
    if layer.bias is not None:
        layer._parameters["bias"] = layer._parameters.pop("bias")
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if isinstance(layer, nn.Conv2d):
        parts[DOWN] = convolution(down.reshape(len(down), layer.in_channels, *layer.kernel_size), like=layer)
        parts[UP] = convolution(up[..., None, None])
    else:
        parts[DOWN], parts[UP] = linear(down), linear(up)
        described = CorrectedLinear(base=None, inputs=layer.in_features, outputs=layer.out_features, rank=len(down))
        return corrected(described, layer, parts[DOWN], parts[UP]).eval()
    return adapted(layer, parts)


def corrected_layer(layer: Any, rank: int, scale: float, generator: torch.Generator) -> nn.Module:
    """A linear layer of integers with a correction beside it that at first changes nothing; `settled` after training.

    Args:
        layer: tells its description.
        rank: of the correction; no more than its matrix can have.
        scale: alpha / rank in the paper.
        generator: draws the first of its two layers.
    """
    import torch
    from torch import nn

    inputs, outputs = layer.in_features, layer.out_features
    rank = min(rank, inputs, outputs)
    with torch.random.fork_rng(devices=[]):
        down, up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
    with torch.no_grad():
        down.weight.copy_((torch.rand(rank, inputs, generator=generator) * 2 - 1) * inputs**-0.5)
        up.weight.zero_()
    described = CorrectedLinear(base=layer.description, inputs=inputs, outputs=outputs, rank=rank)
    made: Any = corrected(described, layer, down, up)
    made.strength = scale
    done: nn.Module = made
    return done


def settled(layer: Any) -> None:
    """Put the strength of a `corrected_layer` into its weights."""
    import torch

    with torch.no_grad():
        getattr(layer, UP).weight *= layer.strength
    layer.strength = 1.0


def adapted(base: nn.Module, parts: OrderedDict[str, nn.Module]) -> nn.Module:
    """base(x) + up(down(x))."""
    from torch import nn

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = base
            for name, part in parts.items():
                self.add_module(name, part)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.base(x) + getattr(self, UP)(getattr(self, DOWN)(x))
            return out

    return Adapted().eval()
