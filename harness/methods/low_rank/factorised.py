"""What replacing layers by products of smaller ones has in common: which layers, at what ranks, and the proof."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen, in_float32, multiplied
from harness.methods.low_rank.allotment import allot
from harness.methods.low_rank.sites import Factors, Site, replace_layer, sites
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


RULES = ("energy", "ratio", "params", "macs")
# The first and the last of the layers that one is replaced by, as artifacts name them.
PARTS = ("project", "vertical", "horizontal", "core", "expand")


@dataclass(frozen=True)
class Ladder:
    """The ways to replace one layer, each dearer and better than the one before.

    Attributes:
        total: the squared error of replacing the layer by zero.
        factors: only those that are smaller than the layer, in parameters and in multiply-accumulates.
    """

    total: float
    factors: Sequence[Factors]


class Factorised(Method):
    """Replace layers by products of smaller ones; a layer that would not get smaller is left alone."""

    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="rank rule: keep at least this share of each layer's squared norm"
    )
    ratio: float | None = Field(
        default=None, gt=0, lt=1, description="rank rule: each layer keeps at most this share of its weights"
    )
    params: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="rank rule: the model keeps at most this share of its parameters, allotted so that the sum of the "
        "layers' relative errors is least",
    )
    macs: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="rank rule: linear layers and convolutions keep at most this share of their multiply-accumulates, "
        "allotted likewise",
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(default=None, description="train afterwards")

    @model_validator(mode="after")
    def _one_rule(self) -> Factorised:
        given = [name for name in RULES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"one of {', '.join(RULES)} decides the ranks, and {' and '.join(given) or 'none'} is given"
            )
        return self

    @property
    def undoes(self) -> frozenset[Trait]:
        """Zeros and shared values: products of factors have neither."""
        return frozenset({Trait.ZEROS, Trait.CODEBOOKS})

    @abstractmethod
    def ladders(self, where: list[Site], subject: Subject, workshop: Workshop) -> list[Ladder]:
        """For each layer, the ways to replace it."""

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Choose ranks, replace the layers that get smaller, and train if asked to."""
        in_float32(subject.model, self.method)
        model: nn.Module = subject.model.eval()
        where = sites(model, subject.example)
        kept = chosen("keep", self.keep, [site.name for site in where])
        where = [site for site in where if site.name not in kept]
        ladders = self.ladders(where, subject, workshop)
        picks = self._picked(where, ladders, subject)
        replaced = [(site, factors) for site, factors in zip(where, picks, strict=True) if factors is not None]
        if not replaced:
            raise MethodError(
                f"{self.method}: none of {len(where)} layers gets smaller: at {self._rule()} the factors of each are "
                "as large as the layer"
            )
        for site, factors in replaced:
            model = replace_layer(model, site.layer, factors.module())
        ranks = ", ".join(f"{site.name} {'×'.join(map(str, factors.ranks))}" for site, factors in replaced)
        workshop.progress(f"{len(replaced)} of {len(where)} layers replaced, ranks {ranks}")
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No layer in factors, no parameter fewer, or more of them than the rule grants."""
        found = []
        sizes = self._replaced(before, after)
        if not sizes:
            found.append(f"none of {len(multiplied(before.tensors))} layers is a product of factors")
        if after.parameters >= before.parameters:
            found.append(f"no parameter fewer: {after.parameters:,}, {before.parameters:,} before")
        if self.params is not None and after.parameters > self.params * before.parameters:
            found.append(
                f"{after.parameters:,} of {before.parameters:,} parameters are left "
                f"({after.parameters / before.parameters:.1%}), and at most {self.params:.1%} were to be"
            )
        for name, (full, left) in sizes.items():
            if self.ratio is not None and left > self.ratio * full:
                found.append(f"{name} keeps {left:,} of {full:,} weights, and at most {self.ratio:.1%} were to be kept")
        return found

    @staticmethod
    def _replaced(before: Evidence, after: Evidence) -> dict[str, tuple[int, int]]:
        """Layer → elements of its weight before, and of its factors after."""
        sizes = {}
        for tensor in multiplied(before.tensors):
            name = tensor.name.removesuffix(".weight")
            parts = [one for one in after.tensors if one.matrix and below(one.name, [f"{name}.{p}" for p in PARTS])]
            if parts:
                sizes[name] = tensor.elements, sum(one.elements for one in parts)
        return sizes

    def _rule(self) -> str:
        return next(f"{name} {getattr(self, name):g}" for name in RULES if getattr(self, name) is not None)

    def _picked(self, where: list[Site], ladders: list[Ladder], subject: Subject) -> list[Factors | None]:
        """For each layer its factors, or None where it stays."""
        if self.energy is not None:
            harm = [(1 - self.energy) * ladder.total for ladder in ladders]
            return [
                next((one for one in ladder.factors if one.error <= most), None)
                for ladder, most in zip(ladders, harm, strict=True)
            ]
        if self.ratio is not None:
            most = [self.ratio * site.parameters for site in where]
            return [
                next((one for one in reversed(ladder.factors) if one.parameters <= limit), None)
                for ladder, limit in zip(ladders, most, strict=True)
            ]
        return self._allotted(where, ladders, subject)

    def _allotted(self, where: list[Site], ladders: list[Ladder], subject: Subject) -> list[Factors | None]:
        cost: Callable[[Site | Factors], int]
        if self.params is not None:
            whole = sum(parameter.numel() for parameter in subject.model.parameters())
            share, what, cost = self.params, "parameters", lambda one: one.parameters
        else:
            assert self.macs is not None  # one rule is given
            whole = _macs(subject.model, subject.example)
            share, what, cost = self.macs, "multiply-accumulates", lambda one: one.macs
        fixed = whole - sum(cost(site) for site in where)
        costs = [
            np.array([*map(cost, ladder.factors), cost(site)], float)
            for site, ladder in zip(where, ladders, strict=True)
        ]
        errors = [
            np.array([*(one.error / max(ladder.total, 1e-300) for one in ladder.factors), 0.0]) for ladder in ladders
        ]
        try:
            choice = allot(costs, errors, share * whole - fixed)
        except ValueError:
            least = fixed + sum(cost.min() for cost in costs)
            raise MethodError(
                f"{self.method}: {share:.1%} of {whole:,} {what} cannot be reached: with every layer at its lowest "
                f"rank {least / whole:.1%} are left"
            ) from None
        return [
            ladder.factors[index] if index < len(ladder.factors) else None
            for index, ladder in zip(choice, ladders, strict=True)
        ]


def _macs(model: nn.Module, example: tuple[torch.Tensor, ...]) -> int:
    """Multiply-accumulates of the linear layers and convolutions for one sample, by torch's own counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*(part[:1] for part in example))
    return int(counter.get_total_flops()) // 2
