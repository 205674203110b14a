"""N:M sparsity: of every M neighbouring weights, N are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence, TensorFact
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop, tied_zeros
from harness.methods.layers import Names, multiplied_or_coded, transposed
from harness.methods.pruning.masks import prunable
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


def require_fewer(n: int, m: int) -> None:
    """Refuse a pattern that leaves every weight.

    Raises:
        ValueError: with both numbers.
    """
    if n >= m:
        raise ValueError(f"n {n} leaves every one of m {m} weights; it must be less")


def require_one_goal(sparsity: float | None, n: int | None, m: int | None) -> None:
    """Refuse options that say in two ways, or in none, how much is pruned.

    Raises:
        ValueError: with what is to be given.
    """
    if (sparsity is None) == (n is None) or (n is None) != (m is None):
        raise ValueError("give either `sparsity`, or `n` and `m`")
    if n is not None and m is not None:
        require_fewer(n, m)


@METHODS.register
class NMSparsity(Method):
    """Leave the N weights of greatest magnitude in every M neighbours along a layer's inputs, and set the rest to zero.

    Layers whose number of inputs is no multiple of M stay dense. A. Mishra et al., "Accelerating Sparse Deep Neural
    Networks", 2021, sections 3 and 4 (2:4, by magnitude, then trained again); A. Zhou et al., "Learning N:M
    Fine-grained Structured Sparse Neural Networks From Scratch", 2021. Only hardware with kernels for the pattern gains
    time by it: the runtimes here multiply the zeros.
    """

    method: Literal["n-m-sparsity"] = "n-m-sparsity"
    also: ClassVar[Mapping[str, str]] = {
        "2:4": "n: 2, m: 4", "n:m": "", "semi-structured": "n: 2, m: 4", "nm-sparsity": "",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    n: int = Field(default=2, ge=1, le=64, description="weights that are left of every `m`")
    m: int = Field(default=4, ge=2, le=64, description="neighbours along the inputs (of a convolution: its channels)")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(default=None, description="train afterwards; zeros stay zero")

    @model_validator(mode="after")
    def _fewer_than_all(self) -> NMSparsity:
        require_fewer(self.n, self.m)
        return self

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Prune, then train if asked to."""
        import torch

        weights = prunable(subject.model, self.keep, self.method)
        fitting = self._fitting(subject.model, weights)
        if not fitting:
            raise MethodError(f"{self.method}: no layer has a number of inputs that {self.m} divides")
        workshop.progress(f"{self.n}:{self.m} in {len(fitting)} of {len(weights)} layers")
        with torch.no_grad():
            for weight, axis in fitting:
                weight.masked_fill_(pattern(weight.abs(), self.n, self.m, axis), 0)
        if self.finetune is not None:
            finetune(subject.model, self.finetune, workshop)
        return replace(subject, model=subject.model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros in a layer than the pattern has, or no layer that could bear it."""
        return missing_pattern(multiplied_or_coded(before, after, self.keep), self.n, self.m)

    def _fitting(self, model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[tuple[nn.Parameter, int]]:
        """The weights that the pattern fits, each with the axis of its inputs.

        Raises:
            MethodError: it fits the second axis of a transposed convolution's weight alone, which are outputs there.
        """
        found: list[tuple[nn.Parameter, int]] = []
        for name, weight in weights.items():
            place = name.rpartition(".")[0]
            layer: Any = model.get_submodule(place)
            if not transposed(layer):
                found += [(weight, 1)] if weight.shape[1] % self.m == 0 else []
            elif layer.in_channels // layer.groups % self.m == 0:
                found.append((weight, 0))
            elif weight.shape[1] % self.m == 0:
                # An artifact does not tell it from other convolutions, and would be held to the pattern.
                raise MethodError(
                    f"{self.method}: {place} is a transposed convolution, and {self.m} does not divide its "
                    f"{layer.in_channels // layer.groups} inputs: name it in `keep`"
                )
        return found


def pattern(scores: torch.Tensor, n: int, m: int, axis: int = 1) -> torch.Tensor:
    """True on the `m` - `n` least scores of every `m` neighbours along an axis, which `m` divides."""
    import torch

    moved = scores.movedim(axis, -1)
    groups = moved.reshape(*moved.shape[:-1], -1, m)
    least = torch.sort(groups, dim=-1, stable=True).indices[..., : m - n]
    gone = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, least, True)
    return gone.flatten(-2).movedim(-1, axis)


def missing_pattern(tensors: Sequence[TensorFact], n: int, m: int) -> list[str]:
    """Sentences on layers that the pattern fits and that hold fewer zeros than it has."""
    fitting = [one for one in tensors if one.columns % m == 0]
    if not fitting:
        return [f"no layer has a number of inputs that {m} divides, so none can be {n}:{m} sparse"]
    return [
        f"{one.zeros:,} of {one.stands_for:,} weights in {one.name} are zero, "
        f"and {n}:{m} sparsity leaves {one.stands_for * n // m:,} others"
        for one in fitting
        if one.zeros < one.stands_for * (m - n) // m
    ]
