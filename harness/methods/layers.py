"""Which layers of a model a method works on, chosen by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.artifacts.torchscript_graph import multiplies
from harness.errors import MethodError, closest

if TYPE_CHECKING:
    from torch import nn

    from harness.evidence import Evidence, TensorFact

# YAML has lists only; a frozen option holds a tuple.
Names = Annotated[tuple[str, ...], Field(strict=False)]


def chosen(option: str, names: Sequence[str], present: Iterable[str]) -> set[str]:
    """Those of the `present` layers that the names choose: a layer itself, or all below a module.

    Args:
        option: the key that the names were given under.
        names: what a spec gives.
        present: names of the model's layers.

    Raises:
        MethodError: a name chooses nothing; the sentence gives the closest.
    """
    present = list(present)
    found: set[str] = set()
    for name in names:
        below = {one for one in present if one == name or one.startswith(f"{name}.")}
        if not below:
            near = closest(name, present)
            hint = f" Did you mean {near!r}?" if near else f" Its layers are {', '.join(present[:5])}, …"
            raise MethodError(f"{option}: the model has no layer {name!r}.{hint}")
        found |= below
    return found


def weighted(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Every linear, convolution and attention layer by name, in the model's order, with its weight matrix's name."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    found: dict[str, tuple[nn.Module, str]] = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear | _ConvNd):
            found[name] = (part, "weight")
        elif isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            found[name] = (part, "in_proj_weight")
    return found


def in_float32(model: nn.Module, method: str) -> None:
    """Hold a method that works on float32 weights to them.

    Raises:
        MethodError: a step before has changed their type.
    """
    import torch

    other = {str(one.dtype).removeprefix("torch.") for one in model.parameters() if one.dtype != torch.float32}
    if other:
        raise MethodError(f"{method} takes float32 weights, and the model has {', '.join(sorted(other))}: put it first")


def below(tensor: str, names: Sequence[str]) -> bool:
    """Whether a stored tensor belongs to one of these layers; a wrapper may have put a prefix before its name."""
    return any(f".{name}." in f".{tensor}." for name in names)


def multiplied(tensors: Iterable[TensorFact]) -> list[TensorFact]:
    """The weight matrices of linear and convolution layers; where a runtime does not tell, every weight matrix."""
    return [one for one in tensors if one.matrix and (not one.used_by or multiplies(one.used_by))]


def multiplied_or_coded(before: Evidence, after: Evidence) -> list[TensorFact]:
    """Those of `multiplied`, and those that a later step stores as codes: they are widened before they multiply.

    Args:
        before: counted on the float artifact: how many weights a layer has, codes tell but roughly.
        after: counted on the compressed one.
    """
    coded = [one for one in after.tensors if one.weights and not any("index" in user for user in one.used_by)]
    found = [one for one in multiplied(after.tensors) if one.weights is None]
    sizes = {one.name.rpartition(".")[0]: one for one in before.matrices}
    for one in coded:
        layer, _, last = one.name.rpartition(".")
        full = sizes.get(layer.removesuffix(".matrix"))
        room = one.elements * 8 // int(last.removeprefix("codes") or 4)
        if full is None or full.shape[0] != one.shape[0] or full.elements > room:
            # Smaller than it was, so that its own count has to do.
            found.append(one)
            continue
        # What was counted beyond the layer's own is filling, and zero; what was missed is zero in all rows.
        zeros = max(0, one.zeros + full.elements - one.stands_for)
        found.append(one.model_copy(update={"weights": full.elements, "zeros": zeros}))
    return found
