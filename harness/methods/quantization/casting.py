"""Weights stored and computed with in a shorter floating point type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import MethodError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.evidence import Evidence


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A model that computes in `dtype`, and takes and gives float32.

    Raises:
        MethodError: a weight is too large for the type.
    """
    import torch
    from torch import nn

    class Cast(nn.Module):
        """The model between two conversions."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> object:
            shorter = [one.to(dtype) if one.is_floating_point() else one for one in inputs]
            return _widened(self.model(*shorter))

    limit = torch.finfo(dtype).max
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and not bool(tensor.abs().max() <= limit):
            short = str(dtype).removeprefix("torch.")
            raise MethodError(f"{name} reaches {tensor.abs().max():g}, and {short} ends at {limit:g}")
    return Cast(model.to(dtype)).eval()


def _widened(outputs: object) -> object:
    """The outputs with every floating point tensor in float32."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {name: _widened(part) for name, part in outputs.items()}
    if isinstance(outputs, list | tuple):
        return tuple(_widened(part) for part in outputs)
    return outputs


def uncast(before: Evidence, after: Evidence, dtype: str) -> list[str]:
    """Why an artifact does not bear out that its weights were cast; empty where it does."""
    total = sum(after.dtypes.values())
    if before.share(dtype) == 1:
        return [f"every weight of the float model is {dtype} already: nothing was converted"]
    wide = sum(after.dtypes.get(one, 0) for one in ("float32", "float64"))
    if not after.dtypes.get(dtype):
        return [f"none of the {total:,} weight elements is {dtype}"]
    if wide:
        return [f"{wide:,} of {total:,} weight elements are still float32"]
    return []
