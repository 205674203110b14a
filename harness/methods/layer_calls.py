"""What linear and convolution layers multiply: their inputs as columns, recorded while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import MethodError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Call:
    """One run of one layer.

    Attributes:
        layer: a linear layer, or a convolution over one or two axes.
        input: what it was given, the first axis the batch.
        output: what it answered.
    """

    layer: nn.Module
    input: torch.Tensor
    output: torch.Tensor

    def columns(self) -> torch.Tensor:
        """What each output position multiplies, shape (batch, groups, weights of one output, positions)."""
        from torch import nn
        from torch.nn.functional import pad, unfold

        layer = self.layer
        if isinstance(layer, nn.Linear):
            return self.input.reshape(len(self.input), -1, layer.in_features).transpose(1, 2).unsqueeze(1)
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        border = layer._reversed_padding_repeated_twice
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = pad(self.input, border, mode=mode) if any(border) else self.input
        window, dilation, stride = (tuple(one) for one in (layer.kernel_size, layer.dilation, layer.stride))
        if padded.ndim == 3:
            padded = padded.unsqueeze(2)
            window, dilation, stride = (1, *window), (1, *dilation), (1, *stride)
        cut = unfold(padded, window, dilation=dilation, stride=stride)
        return cut.view(len(cut), layer.groups, -1, cut.shape[-1])

    def rows(self, of: torch.Tensor) -> torch.Tensor:
        """Something of the output's shape as (batch, groups, outputs of a group, positions)."""
        from torch import nn

        if isinstance(self.layer, nn.Linear):
            return of.reshape(len(of), -1, of.shape[-1]).transpose(1, 2).unsqueeze(1)
        assert isinstance(self.layer, nn.Conv1d | nn.Conv2d)
        return of.reshape(len(of), self.layer.groups, -1, of[0, 0].numel())


def matrix_layers(model: nn.Module, weights: Mapping[str, nn.Parameter], method: str) -> dict[str, nn.Module]:
    """The layers of these weights by the weights' names, held to kinds whose inputs are understood.

    Raises:
        MethodError: a transposed or three-dimensional convolution, or attention that keeps its projections to itself.
    """
    from torch import nn

    layers = {name: model.get_submodule(name.rpartition(".")[0]) for name in weights}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            raise MethodError(
                f"{method} knows linear layers and convolutions over one or two axes, and {name} belongs to a "
                f"{type(layer).__name__}: name it in `keep`"
            )
    return layers


@contextmanager
def heard(layers: Mapping[str, nn.Module], told: Callable[[str, Call], None]) -> Iterator[None]:
    """Within it, `told` is given the name of each of these layers that runs, and the call, which it need not keep."""

    def note(name: str, layer: nn.Module, given: torch.Tensor, answered: torch.Tensor) -> None:
        # The tensor itself where it has no history: who is given the same twice can tell.
        told(name, Call(layer, given.detach() if given.requires_grad else given, answered))

    hooks = [
        layer.register_forward_hook(lambda layer, given, answered, name=name: note(name, layer, given[0], answered))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
