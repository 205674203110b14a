"""Changing a weight matrix column by column, while the columns that are still to come make up for what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.methods.layer_calls import Call, heard
from harness.methods.stages import stages

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Split

    # Told the weights of a block, a factor of what changing each costs, and how many columns are before it; gives
    # what tells the new values of a column of the block, given its number in it and its weights.
    Settle = Callable[[torch.Tensor, torch.Tensor, int], Callable[[int, torch.Tensor], torch.Tensor]]


def compensated(
    matrix: torch.Tensor, hessian: torch.Tensor, columns: int, settle: Settle, block: int, damping: float
) -> torch.Tensor:
    """A matrix with its first columns changed one after the other; those behind move by what makes up for it.

    E. Frantar, D. Alistarh, "SparseGPT", 2023, algorithm 1, and E. Frantar et al., "GPTQ", 2023, algorithm 1, which is
    the same with rounding in the place of zeros. What leaves a block is moved in one product.

    Args:
        matrix: weights, float, shape (rows, all columns).
        hessian: second moments of the inputs, float64, shape (all columns, all columns).
        columns: how many of them, from the left, are changed; those after, such as a bias, only make up.
        settle: decides the new values. Weights squared over the factors squared are what changing them to zero costs.
        block: columns that are decided on at a time.
        damping: added to the Hessian's diagonal, as a share of its mean.
    """
    left = matrix.clone()
    factor = inverse_factor(hessian, damping).to(left.dtype)
    for start in range(0, columns, block):
        stop = min(start + block, columns)
        values = settle(left[:, start:stop], factor.diagonal()[start:stop], start)
        lost = left.new_zeros(len(left), stop - start)
        for column in range(start, stop):
            new = values(column - start, left[:, column])
            lost[:, column - start] = (left[:, column] - new) / factor[column, column]
            left[:, column:stop] -= lost[:, column - start, None] * factor[column, column:stop]
            left[:, column] = new
        left[:, stop:] -= lost @ factor[start:stop, stop:]
    return left


def inverse_factor(hessian: torch.Tensor, damping: float) -> torch.Tensor:
    """Upper Cholesky factor of the inverse of a damped Hessian, in float64.

    Row j holds, right of the diagonal, column j of the inverse once all columns before j are gone, up to a factor.
    """
    import torch

    mean = hessian.diagonal().mean().clamp_min(1e-30)
    damped = hessian.double() + damping * mean * torch.eye(len(hessian), dtype=torch.float64)
    factor: torch.Tensor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    return factor


def input_moments(run: Callable[[], None], layers: Mapping[str, nn.Linear]) -> dict[str, torch.Tensor]:
    """Sum of ``x x^T`` over all that each linear layer multiplies in one run, float64, shape (columns, columns)."""
    import torch

    total = {name: torch.zeros(one.in_features, one.in_features, dtype=torch.float64) for name, one in layers.items()}
    # Layers that multiply the same, as queries, keys and values do, share the product.
    last: tuple[torch.Tensor, int, torch.Tensor] | None = None

    def add(name: str, call: Call) -> None:
        nonlocal last
        # A tensor that something was added to in place is still itself; those of inference mode cannot change here.
        version = 0 if call.input.is_inference() else call.input._version
        if last is None or last[0] is not call.input or last[1] != version:
            flat = call.input.reshape(-1, call.input.shape[-1])
            last = call.input, version, (flat.T @ flat).double()
        total[name] += last[2]

    with heard(layers, add):
        run()
    return total


def moments_in_turn(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    split: Split,
    batch: int,
    progress: Callable[[str], None],
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each layer's name with the `input_moments` that it has once all before its block have become what they become.

    Args:
        model: in evaluation mode; run without gradients.
        layers: by name; what is done to one before the next is asked for reaches the blocks to come.
        split: calibration samples.
        batch: samples a run.
        progress: told how many layers are done.

    Raises:
        MethodError: a layer never ran.
    """
    done = 0
    for stage in stages(model, layers, split, batch, together=True):
        progress(f"{done} of {len(layers)} layers are done")
        moments = input_moments(stage.run, {name: layers[name] for name in stage.names})
        yield from moments.items()
        done += len(stage.names)
