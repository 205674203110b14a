"""Which layers of a model a method works on, chosen by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.errors import MethodError, closest
from harness.evidence import Evidence, Role, TensorFact

if TYPE_CHECKING:
    from torch import nn

# YAML has lists only; a frozen option holds a tuple.
Names = Annotated[tuple[str, ...], Field(strict=False)]
# What the two layers of a low-rank correction are called, which lie beside the layer that they correct.
ADAPTERS = ("adapter_down", "adapter_up")
# What a step that puts the whole model into a module of its own calls it there.
WRAPPED = "model"


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


def transposed(layer: nn.Module) -> bool:
    """Whether a layer is a transposed convolution: its weight has its inputs first, and then the outputs of a group."""
    from torch.nn.modules.conv import _ConvTransposeNd

    return isinstance(layer, _ConvTransposeNd)


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
    """Whether a stored tensor belongs to one of these layers, or modules, as `chosen` takes their names.

    A name counts from the start: a stem `conv1` is no part of `layer1.0.conv1`. Before it may stand what a step has put
    the model into.
    """
    while True:
        if any(f"{tensor}.".startswith(f"{name}.") for name in names):
            return True
        first, _, tensor = tensor.partition(".")
        if first != WRAPPED or not tensor:
            return False


def corrects(tensor: str) -> bool:
    """Whether a stored tensor is of a low-rank correction, and so lies beside the layer that it corrects."""
    return not set(ADAPTERS).isdisjoint(tensor.split("."))


def multiplied(tensors: Iterable[TensorFact]) -> list[TensorFact]:
    """The weight matrices of linear and convolution layers; where a runtime does not tell, every weight matrix."""
    return [one for one in tensors if one.matrix and (one.roles is None or one.plays(Role.MULTIPLIED))]


def tied(one: TensorFact) -> bool:
    """Whether a tensor is an embedding and the matrix of a linear layer at once."""
    return one.plays(Role.LOOKED_UP) and one.plays(Role.MULTIPLIED)


def of_embedding(one: TensorFact, before: Evidence) -> bool:
    """Whether a tensor is an embedding, or the matrix of an output layer that is tied to one.

    A graph may hold such a matrix a second time, by the output layer's name, of which `before` then knows nothing.
    """
    if one.plays(Role.LOOKED_UP):
        return True
    known = any(other.name == one.name for other in before.tensors)
    return not known and any(tied(other) and other.elements == one.elements for other in before.matrices)


def multiplied_or_coded(before: Evidence, after: Evidence, keep: Sequence[str] = ()) -> list[TensorFact]:
    """Those of `multiplied`, and those that a later step stores as codes: they are widened before they multiply.

    What a later step trained beside a layer is none of them.

    Args:
        before: counted on the float artifact: how many weights a layer has, codes tell but roughly.
        after: counted on the compressed one.
        keep: layers, or modules with all theirs, to leave out.
    """
    # Of two layers that are tied evidence names one: what it does not name is the other.
    unnamed = any(not any(below(one.name, [name]) for one in before.matrices) for name in keep)

    def wanted(one: TensorFact) -> bool:
        return not (below(one.name, keep) or corrects(one.name) or (unnamed and tied(one)))

    found = [one for one in multiplied(after.tensors) if one.weights is None and wanted(one)]
    for one in after.tensors:
        if not one.weights or corrects(one.name):
            continue
        layer, _, last = one.name.rpartition(".")
        room = one.elements * 8 // int(last.removeprefix("codes") or 4)
        full = _in_float(one, layer.removesuffix(".matrix").removesuffix(".base"), room, before)
        # An embedding that nothing multiplies with is none of these.
        if full is None and one.plays(Role.INDEXED):
            continue
        counted = one if full is None else one.model_copy(update={"used_by": full.used_by, "roles": full.roles})
        # If it is smaller than it was, its own count has to do.
        if full is not None and full.shape[0] == one.shape[0] and full.elements <= room:
            # What was counted beyond the layer's own is filling, and zero; what was missed is zero in all rows.
            zeros = max(0, one.zeros + full.elements - one.stands_for)
            counted = counted.model_copy(update={"weights": full.elements, "zeros": zeros})
        if wanted(counted):
            found.append(counted)
    return found


def _in_float(one: TensorFact, layer: str, room: int, before: Evidence) -> TensorFact | None:
    """What a layer's codes were in float; of rows that are looked up only a matrix that something multiplies with."""
    named = next((other for other in before.matrices if other.name.rpartition(".")[0] == layer), None)
    if not one.plays(Role.INDEXED):
        return named
    if named is not None:
        return named if named.plays(Role.MULTIPLIED) else None
    # Told by the name of the output layer.
    return next(
        (
            other
            for other in before.matrices
            if tied(other) and other.shape[0] == one.shape[0] and other.elements <= room
        ),
        None,
    )
