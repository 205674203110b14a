"""Optimal Brain Surgeon, a layer at a time: what is left makes up for what goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop, tied_zeros
from harness.methods.compensation import compensated
from harness.methods.layer_calls import Call, heard, matrix_layers
from harness.methods.layers import Names, multiplied_or_coded
from harness.methods.pruning.masks import missing_zeros, prunable
from harness.methods.pruning.n_m_sparsity import missing_pattern, pattern, require_one_goal
from harness.methods.pruning.zeros import finetune
from harness.methods.stages import stages
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 64


@METHODS.register
class OptimalBrainSurgeon(Method):
    """Prune each layer so that its answers to calibration data change least, and let its other weights make up for it.

    Layer by layer, on the inputs that it gets from the layers pruned before it: ``H = sum x x^T``, the weights of least
    ``w_q^2 / [H^-1]_qq`` go, and for each the others move by ``-w_q / [H^-1]_qq * H^-1 e_q``. Biases take part.
    B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1993, eq. 5; layer by
    layer: E. Frantar, S. P. Singh, D. Alistarh, "Optimal Brain Compression", 2022, section 4; a column at a time, with
    one Hessian for all rows: E. Frantar, D. Alistarh, "SparseGPT", 2023, algorithm 1; N:M patterns: section 3.4, which
    chooses of each `m` columns once those before them have been made up for.
    """

    method: Literal["optimal-brain-surgeon"] = "optimal-brain-surgeon"
    also: ClassVar[Mapping[str, str]] = {"obs": "", "obc": "", "optimal-brain-compression": "", "sparsegpt": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    needs_data: ClassVar[bool] = True
    sparsity: float | None = Field(default=None, gt=0, lt=1, description="share of each layer's weights that goes")
    n: int | None = Field(default=None, ge=1, le=64, description="instead: so many weights are left of every `m`")
    m: int | None = Field(default=None, ge=2, le=64, description="neighbours along the inputs, of which `n` are left")
    block: int = Field(
        default=128,
        ge=1,
        description="columns of a layer whose weights are chosen among at a time; with `n` and `m` those are `m`",
    )
    damping: float = Field(default=0.01, gt=0, le=1, description="added to H's diagonal, as a share of its mean")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(default=None, description="train afterwards; zeros stay zero")

    @model_validator(mode="after")
    def _one_goal(self) -> OptimalBrainSurgeon:
        require_one_goal(self.sparsity, self.n, self.m)
        return self

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    @property
    def undoes(self) -> frozenset[Trait]:
        """Zeros that were made before: what is left makes up for what goes, the zeros too. And shared values."""
        return frozenset({Trait.ZEROS, Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune the layers in the order in which they run, then train if asked to."""
        import torch

        model: nn.Module = subject.model.eval()
        calibration = workshop.calibration(f"{self.method} calibrates")
        weights = prunable(model, self.keep, self.method)
        layers = matrix_layers(model, weights, self.method)
        with torch.no_grad():
            walk = stages(model, layers, calibration, BATCH, together=False)
            for number, stage in enumerate(walk, 1):
                (name,) = stage.names
                workshop.progress(f"layer {number} of {len(layers)}: {name}")
                self._prune(layers[name], weights[name], second_moments(stage.run, layers[name]))
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros in a layer than were asked for."""
        if self.sparsity is not None:
            return missing_zeros(before, after, self.sparsity, "layer", self.keep)
        assert self.n is not None
        assert self.m is not None
        return missing_pattern(multiplied_or_coded(before, after, self.keep), self.n, self.m)

    def _prune(self, layer: nn.Module, weight: nn.Parameter, moments: torch.Tensor) -> None:
        """Prune one layer of (groups * rows, columns) weights, given its inputs' (groups, columns + 1, columns + 1)."""
        import torch

        if self.m is not None and weight.shape[1] % self.m:
            return  # dense, as n-m-sparsity leaves it
        bias: torch.Tensor | None = getattr(layer, "bias", None)
        groups = len(moments)
        # An N:M pattern runs along a convolution's channels, so these are made the neighbours.
        matrices = weight.movedim(1, -1).reshape(groups, len(weight) // groups, -1)
        taps = matrices.shape[-1] // weight.shape[1]
        index = torch.arange(matrices.shape[-1]).view(weight.shape[1], taps).T.flatten()
        for group, matrix in enumerate(matrices):
            places = torch.cat([index, torch.tensor([len(index)])]) if bias is not None else index
            hessian = moments[group][places][:, places]
            rows = slice(group * len(matrix), (group + 1) * len(matrix))
            start = matrix if bias is None else torch.cat([matrix, bias[rows, None]], dim=1)
            gone = partial(self._gone, group * matrix.numel())
            done = surgery(start.double(), hessian, len(index), gone, self.m or self.block, self.damping)
            shape = (len(matrix), *weight.movedim(1, -1).shape[1:])
            weight[rows] = done[:, : len(index)].reshape(shape).movedim(-1, 1).to(weight.dtype)
            if bias is not None:
                bias[rows] = done[:, -1].to(bias.dtype)

    def _gone(self, before: int, scores: torch.Tensor, past: int) -> torch.Tensor:
        """Which weights of a block go, by their scores: `past` columns of its rows are done, and weights `before`."""
        import torch

        if self.n is not None and self.m is not None:
            return pattern(scores, self.n, self.m)
        assert self.sparsity is not None
        # Rounded over all groups and columns up to the end of this block, so that the layer's share is exact.
        rows, columns = scores.shape
        start = before + rows * past
        many = round(self.sparsity * (start + rows * columns)) - round(self.sparsity * start)
        gone = torch.zeros(rows * columns, dtype=torch.bool)
        gone[torch.sort(scores.flatten(), stable=True).indices[:many]] = True
        return gone.view(rows, columns)


def second_moments(run: Callable[[], None], layer: nn.Module) -> torch.Tensor:
    """Sum of ``x x^T`` over all that a layer multiplies, with a last x of 1, shape (groups, columns + 1, columns + 1).

    A convolution's columns run channel by channel, and within each over the window. In float64.
    """
    import torch

    total: list[torch.Tensor] = []

    def add(call: Call) -> None:
        columns = call.columns().double()
        ones = torch.ones_like(columns[:, :, :1])
        flat = torch.cat([columns, ones], dim=2).permute(1, 2, 0, 3).flatten(2)
        product = flat @ flat.transpose(1, 2)
        total[:] = [total[0] + product] if total else [product]

    with heard({"": layer}, lambda _, call: add(call)):
        run()
    return total[0]


def surgery(
    matrix: torch.Tensor,
    hessian: torch.Tensor,
    prunable_columns: int,
    choose: Callable[[torch.Tensor, int], torch.Tensor],
    block: int,
    damping: float,
) -> torch.Tensor:
    """Prune a matrix column by column; whatever stands to the right of a weight that goes makes up for it.

    SparseGPT's algorithm 1. Where what goes are the first columns, nothing is approximate: the rest is then the least
    squares solution without them.

    Args:
        matrix: weights, shape (rows, columns), float64.
        hessian: second moments of the inputs, shape (columns, columns), float64.
        prunable_columns: the columns after these, such as a bias, are never pruned.
        choose: told the scores of a block and how many columns are before it, says which weights go.
        block: columns that are chosen among at a time.
        damping: added to the Hessian's diagonal, as a share of its mean.
    """

    def settle(weights: torch.Tensor, factors: torch.Tensor, start: int) -> Callable[[int, torch.Tensor], torch.Tensor]:
        gone = choose((weights / factors) ** 2, start)
        return lambda column, values: values.masked_fill(gone[:, column], 0.0)

    return compensated(matrix, hessian, prunable_columns, settle, block, damping)
