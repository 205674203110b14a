"""Weight matrices as grouped integers, rounded column by column so that what they multiply to changes least."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from harness.artifacts.integer_modules import Grid, matrix
from harness.methods.compensation import compensated
from harness.methods.quantization.grouping import Rounding, grid_of

if TYPE_CHECKING:
    import torch
    from torch import nn

Order = Literal["inputs", "power"]
# Columns that are rounded before what they lost is moved on; a group whose scale is fitted in its turn is one block.
BLOCK, WIDEST = 128, 512
# Rows do not touch each other: an embedding of a quarter million of them is rounded in slices.
ROWS = 16_384


def compensated_matrix(
    weight: torch.Tensor, moments: torch.Tensor, rounding: Rounding, group: int | None, order: Order, damping: float
) -> nn.Module:
    """A weight matrix as grouped integers; of what rounding a column loses, those to come make up for what they can.

    E. Frantar et al., "GPTQ", 2023, algorithm 1.

    Args:
        weight: shape (rows, columns).
        moments: second moments of its inputs, float64, shape (columns, columns).
        rounding: how.
        group: columns that share a scale; None: a row.
        order: of the columns, as they stand, each group's scale fitted when it is its turn; or those of the strongest
            inputs first, with scales fitted beforehand.
        damping: added to the diagonal of the moments, as a share of its mean. The more, the nearer to rounding each
            weight by itself.
    """
    import torch

    grid = grid_of(weight, rounding, group)
    power = moments.diagonal()
    # An input that is always zero says nothing; its weights are rounded where they stand.
    hessian = moments + torch.diag((power == 0).to(moments.dtype) * power.mean().clamp_min(1e-30))
    place = list(range(grid.columns))
    if order == "power":
        place = torch.argsort(power, descending=True, stable=True).tolist()
    hessian = hessian[place][:, place]
    anew = order == "inputs" and grid.group <= WIDEST
    parts = [
        _rounded(some.float(), hessian, place, rounding, grid, anew, damping)
        for some in torch.split(weight.detach(), ROWS)
    ]
    codes, scales, zeros = (torch.cat(one) for one in zip(*parts, strict=True))
    return matrix(grid, codes, scales, None if rounding.symmetric else zeros)


def _rounded(
    start: torch.Tensor,
    hessian: torch.Tensor,
    place: list[int],
    rounding: Rounding,
    grid: Grid,
    anew: bool,
    damping: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes, scales and zero points of some rows; `place` is where each column of the Hessian stands in them."""
    import torch
    from torch.nn.functional import pad

    if anew:
        scales, zeros = start.new_empty(2, len(start), grid.groups)
    else:
        filled = pad(start, (0, grid.groups * grid.group - grid.columns)).view(len(start), grid.groups, grid.group)
        scales, zeros = rounding.fit(filled)
    codes = torch.zeros(len(start), grid.groups * grid.group, dtype=torch.uint8)

    def settle(block: torch.Tensor, factors: torch.Tensor, first: int) -> Callable[[int, torch.Tensor], torch.Tensor]:
        if anew:
            scales[:, first // grid.group], zeros[:, first // grid.group] = rounding.fit(block)

        def value(column: int, values: torch.Tensor) -> torch.Tensor:
            where = place[first + column]
            scale, zero = scales[:, where // grid.group], zeros[:, where // grid.group]
            code = rounding.codes(values.unsqueeze(-1), scale, zero)
            codes[:, where] = code[:, 0]
            return rounding.values(code, scale, zero)[:, 0]

        return value

    compensated(start[:, place], hessian, grid.columns, settle, grid.group if anew else BLOCK, damping)
    points = zeros.to(torch.uint8)
    # What fills a row up to whole groups is zero, and told from weights by that.
    codes[:, grid.columns :] = points[:, -1:]
    return codes, scales, points
