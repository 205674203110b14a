"""Modules over a matrix of grouped integers, widened as it is used: a linear layer, an embedding, a correction."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.artifacts.narrow_codes import pack, unpack
from harness.artifacts.openvino_codes import Coded
from harness.registry import Options

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.artifacts.quantized_layers import CorrectedLinear, GroupedEmbedding, Layer

# What the tensors of codes are called, each with its width in bits behind.
CODES = "codes"


class Grid(Options):
    """How a matrix lies in integers: rows are cut into groups of neighbours that share a scale.

    Attributes:
        group: columns that share a scale; the last group of a row is filled up.
        symmetric: codes count from the middle, and there are no zero points.
    """

    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    bits: int = Field(ge=2, le=8)
    group: int = Field(ge=1)
    symmetric: bool

    @property
    def groups(self) -> int:
        """In a row."""
        return -(-self.columns // self.group)


def matrix(grid: Grid, codes: torch.Tensor | None = None, scales: Any = None, zeros: Any = None) -> nn.Module:
    """A matrix of grouped integers; its `weight()` widens all of it, its `rows(ids)` some rows.

    Args:
        grid: its shape and how it lies.
        codes: uint8 below 2 ** bits, shape (rows, groups * group); left out, the tensors are to be filled.
        scales: shape (rows, groups), kept as float16.
        zeros: uint8 zero points of the same shape; None where `grid` is symmetric.
    """
    import torch

    if codes is None:
        codes = torch.zeros(grid.rows, grid.groups * grid.group, dtype=torch.uint8)
        scales = torch.ones(grid.rows, grid.groups)
        zeros = None if grid.symmetric else torch.zeros(grid.rows, grid.groups, dtype=torch.uint8)
    made: nn.Module = modules()["matrix"](grid, codes, scales, zeros)
    return made


@cache
def modules() -> dict[str, Any]:
    """The classes by what they are, made when torch is first needed."""
    import torch
    from torch import nn
    from torch.nn.functional import linear

    class Matrix(nn.Module):
        def __init__(self, grid: Grid, codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> None:
            super().__init__()
            self.grid = grid
            for width, piece in pack(codes, grid.bits).items():
                # Parameters, so that evidence counts them; integers ask for no gradient.
                setattr(self, f"{CODES}{width}", nn.Parameter(piece, requires_grad=False))
            self.register_buffer("scales", scales.to(torch.float16))
            self.register_buffer("zeros", zeros)

        def weight(self) -> torch.Tensor:
            return self._widened(lambda stored: stored)

        def rows(self, ids: torch.Tensor) -> torch.Tensor:
            return self._widened(lambda stored: stored[ids])

        def coded(self) -> Coded:
            grid = self.grid
            pieces = {
                int(name.removeprefix(CODES)): piece
                for name, piece in self._parameters.items()
                if name.startswith(CODES) and piece is not None
            }
            codes = unpack(pieces, grid.groups * grid.group).view(grid.rows, grid.groups, grid.group)
            scales: Any = self.scales
            zeros: Any = self.zeros
            return Coded(codes.numpy(), scales.numpy(), None if zeros is None else zeros.numpy(), grid.bits)

        def _widened(self, take: Any) -> torch.Tensor:
            grid = self.grid
            pieces = {
                int(name.removeprefix(CODES)): take(piece)
                for name, piece in self._parameters.items()
                if name.startswith(CODES)
            }
            flat = unpack(pieces, grid.groups * grid.group)
            codes = flat.view(*flat.shape[:-1], grid.groups, grid.group).float()
            middle = 2.0 ** (grid.bits - 1) if self.zeros is None else take(self.zeros).float().unsqueeze(-1)
            wide: torch.Tensor = (codes - middle) * take(self.scales).float().unsqueeze(-1)
            return wide.flatten(-2)[..., : grid.columns]

    class Linear(nn.Module):
        matrix: Any

        def __init__(self, description: Layer, stored: Any, bias: nn.Parameter | None) -> None:
            super().__init__()
            self.description, self.matrix, self.bias = description, stored, bias
            self.out_features, self.in_features = stored.grid.rows, stored.grid.columns

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return linear(x, self.matrix.weight().to(x.dtype), self.bias)

    class Embedding(nn.Module):
        matrix: Any

        def __init__(self, description: GroupedEmbedding, stored: nn.Module) -> None:
            super().__init__()
            self.description, self.matrix = description, stored

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.matrix.rows(ids)
            return found if self.description.multiplier == 1 else found * self.description.multiplier

    class Corrected(nn.Module):
        def __init__(self, description: CorrectedLinear, base: nn.Module, down: nn.Module, up: nn.Module) -> None:
            super().__init__()
            self.description, self.base = description, base
            self.adapter_down, self.adapter_up = down, up
            # What the correction is scaled by while it is trained.
            self.strength = 1.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            added = self.adapter_up(self.adapter_down(x))
            out: torch.Tensor = self.base(x) + (added if self.strength == 1 else added * self.strength)
            return out

    return {"matrix": Matrix, "linear": Linear, "embedding": Embedding, "corrected": Corrected}
