"""Which single weights go: those of least score, whatever scored them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.methods.layers import chosen, multiplied_or_coded, weighted

if TYPE_CHECKING:
    import torch
    from torch import nn

Scope = Literal["global", "layer"]


def prunable(model: nn.Module, keep: Sequence[str], method: str) -> dict[str, nn.Parameter]:
    """The weights of linear, convolution and attention layers by parameter name, without those to keep.

    Raises:
        MethodError: none is left, or `keep` names no layer.
    """
    layers = weighted(model)
    kept = chosen("keep", keep, layers)
    weights: dict[str, nn.Parameter] = {
        f"{name}.{parameter}" if name else parameter: getattr(layer, parameter)
        for name, (layer, parameter) in layers.items()
        if name not in kept
    }
    if not weights:
        raise MethodError(f"{method}: no linear or convolution layer is left to prune")
    return weights


def least(scores: Mapping[str, torch.Tensor], sparsity: float, scope: Scope) -> dict[str, torch.Tensor]:
    """Where the scores are least: boolean tensors that are True on exactly the rounded share, over all or in each.

    Equal scores go in the order of the weights, so that the choice never depends on a sorting kernel.

    Raises:
        MethodError: a score is not a number.
    """
    import torch

    for name, score in scores.items():
        if bool(score.isnan().any()):
            raise MethodError(f"the weights of {name} cannot be ranked: some of their scores are no numbers")
    groups = [list(scores)] if scope == "global" else [[name] for name in scores]
    gone: dict[str, torch.Tensor] = {}
    for group in groups:
        flat = torch.cat([scores[name].flatten() for name in group])
        mask = torch.zeros_like(flat, dtype=torch.bool)
        mask[torch.sort(flat, stable=True).indices[: round(sparsity * flat.numel())]] = True
        parts = torch.split(mask, [scores[name].numel() for name in group])
        gone.update({name: part.view_as(scores[name]) for name, part in zip(group, parts, strict=True)})
    return gone


def prune(
    weights: Mapping[str, nn.Parameter], scores: Mapping[str, torch.Tensor], sparsity: float, scope: Scope
) -> None:
    """Set the share of these weights whose scores are least to zero, in place; those that are zero count first."""
    import torch

    with torch.no_grad():
        ranked = {name: score.masked_fill(weights[name] == 0, -torch.inf) for name, score in scores.items()}
        for name, mask in least(ranked, sparsity, scope).items():
            # A product would leave negative zeros, which are no zero bytes.
            weights[name].masked_fill_(mask, 0)


def missing_zeros(
    before: Evidence, after: Evidence, sparsity: float, scope: Scope, keep: Sequence[str] = ()
) -> list[str]:
    """Sentences on fewer zeros than were asked for, over all layers or in one of them."""
    held = multiplied_or_coded(before, after, keep)
    groups = [held] if scope == "global" else [[one] for one in held]
    shapes = {one.name: one.shape for one in before.tensors}
    smaller = any(shapes.get(one.name, one.shape) != one.shape for one in held)
    hint = ". Channels were removed too, and zeros with them: remove channels first" if smaller else ""
    sentences = []
    for group in groups:
        zeros, elements = sum(one.zeros for one in group), sum(one.stands_for for one in group)
        if zeros < round(sparsity * elements):
            where = "the pruned layers" if scope == "global" else group[0].name
            sentences.append(
                f"{zeros:,} of {elements:,} weights in {where} are zero ({zeros / elements:.2%}), "
                f"and {sparsity:.2%} was asked for{hint}"
            )
    return sentences
