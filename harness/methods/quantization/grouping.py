"""Weights as integers of few bits, in groups along the inputs that share a scale; and the layers that hold them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.artifacts.integer_modules import CODES, Grid, matrix
from harness.artifacts.quantized_layers import TiedLinear, grouped_embedding, grouped_linear, tied
from harness.errors import MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.methods.layers import below, corrects, of_embedding
from harness.methods.low_rank.sites import replace_layer

if TYPE_CHECKING:
    import torch
    from torch import nn

# Types that a graph stores codes in.
NARROW = ("uint4", "int4", "uint8", "int8")
# Scales that are tried, as shares of the one that just spans a group: cutting an outlier may cost less than it saves.
SPANS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


@dataclass(frozen=True)
class Rounding:
    """How a group of weights becomes codes.

    Attributes:
        bits: of a code.
        symmetric: no zero points.
        search: take of `SPANS` what rounds a group with the least squared error, and not always the first.
    """

    bits: int
    symmetric: bool
    search: bool

    def fit(self, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point of each group.

        Args:
            weights: float, shape (…, group).

        Returns:
            Scales as float16 holds them, and zero points as whole numbers, both float32 of shape (…).
        """
        import torch

        best: tuple[torch.Tensor, torch.Tensor] | None = None
        least = torch.full(weights.shape[:-1], torch.inf)
        for span in SPANS if self.search else SPANS[:1]:
            scale, zero = self._spanning(weights, span)
            error = (self.values(self.codes(weights, scale, zero), scale, zero) - weights).square().sum(-1)
            if best is None:
                best, least = (scale, zero), error.float()
                continue
            better = error < least
            best = torch.where(better, scale, best[0]), torch.where(better, zero, best[1])
            least = torch.where(better, error.float(), least)
        assert best is not None
        return best

    def _spanning(self, weights: torch.Tensor, span: float) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        top = 2**self.bits - 1
        if self.symmetric:
            middle = 2 ** (self.bits - 1)
            scale = _stored(weights.abs().amax(-1) * span / (middle - 1))
            return scale, torch.full_like(scale, middle)
        low, high = weights.amin(-1).clamp_max(0) * span, weights.amax(-1).clamp_min(0) * span
        scale = _stored((high - low) / top)
        return scale, (-low / scale).round().clamp(0, top).float()

    def codes(self, weights: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """Codes of the weights of groups, float, shape (…, group)."""
        return (weights / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, 2**self.bits - 1)

    def values(self, codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """What codes stand for."""
        return (codes - zero.unsqueeze(-1)) * scale.unsqueeze(-1)


def _stored(scale: torch.Tensor) -> torch.Tensor:
    """As float16 gives it back; never zero."""
    import torch

    return scale.to(torch.float16).clamp_min(2**-24).float()


def stored_matrix(weight: torch.Tensor, rounding: Rounding, group: int | None) -> nn.Module:
    """A weight matrix as grouped integers, each rounded to the nearest.

    Args:
        weight: shape (rows, columns).
        rounding: how.
        group: columns that share a scale; None: a row.
    """
    import torch
    from torch.nn.functional import pad

    rows, columns = weight.shape
    grid = grid_of(weight, rounding, group)
    cut = pad(weight.detach().float(), (0, grid.groups * grid.group - columns)).view(rows, grid.groups, grid.group)
    # In slices of rows: an embedding of a quarter million rows is looked through several times.
    parts = []
    for some in torch.split(cut, 4096):
        scale, zero = rounding.fit(some)
        parts.append((rounding.codes(some, scale, zero).to(torch.uint8).flatten(1), scale, zero.to(torch.uint8)))
    codes, scales, zeros = (torch.cat(one) for one in zip(*parts, strict=True))
    return matrix(grid, codes, scales, None if rounding.symmetric else zeros)


def grid_of(weight: torch.Tensor, rounding: Rounding, group: int | None) -> Grid:
    """How such a weight lies in integers."""
    rows, columns = weight.shape
    return Grid(
        rows=rows, columns=columns, bits=rounding.bits, group=min(group or columns, columns),
        symmetric=rounding.symmetric,
    )  # fmt: skip


def plain_linear(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers that have a matrix of their own: one tied to an embedding goes with the embedding."""
    from torch import nn

    heads = {id(head) for head in tied_heads(model)}
    return {
        name: part
        for name, part in model.named_modules()
        if type(part) is nn.Linear and part.weight.is_floating_point() and id(part) not in heads
    }


def embeddings(model: nn.Module) -> dict[str, nn.Embedding]:
    """The embeddings that are still in float."""
    from torch import nn

    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Embedding)}


def tied_heads(model: nn.Module) -> list[nn.Linear]:
    """The linear layers whose matrix is that of an embedding."""
    from torch import nn

    embedded = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    return [part for part in model.modules() if type(part) is nn.Linear and id(part.weight) in embedded]


def other_matrices(model: nn.Module) -> list[str]:
    """The names of float matrices, and of stacks of them, that are in no layer which the steps here know: experts."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return [
        f"{name}.{own}" if name else own
        for name, part in model.named_modules()
        if not isinstance(part, nn.Linear | nn.Embedding | _ConvNd)
        for own, tensor in part.named_parameters(recurse=False)
        if tensor.ndim in (2, 3) and tensor.is_floating_point()
    ]


def pack_linear(model: nn.Module, layer: nn.Linear, stored: nn.Module) -> nn.Module:
    """The model in which a linear layer multiplies with a stored matrix."""
    return replace_layer(model, layer, grouped_linear(stored.grid, stored, layer.bias))  # type: ignore[arg-type]


def pack_embedding(model: nn.Module, name: str, stored: nn.Module) -> nn.Module:
    """The model in which an embedding looks up a stored matrix, and the layers that are tied to it multiply with it.

    Raises:
        MethodError: the embedding does more than look up and scale.
    """
    import torch

    old: Any = model.get_submodule(name)
    with torch.no_grad():
        # Those that say most: the first may be zero, for padding and the like.
        norms = torch.linalg.vector_norm(old.weight.float(), dim=1)
        ids = norms.topk(min(4, len(norms))).indices
        plain, given = old.weight[ids], old(ids)
        power = float(plain.double().square().sum())
        # Gemma's embeddings are scaled by the root of their width.
        multiplier = float((given.double() * plain).sum()) / power if power else 1.0
    if not torch.allclose(given, plain * multiplier, rtol=1e-3, atol=1e-6):
        raise MethodError(f"{name} ({type(old).__name__}) does more than look up rows: name it in `keep_float`")
    heads: list[Any] = [head for head in tied_heads(model) if head.weight is old.weight]
    new = grouped_embedding(stored.grid, stored, 1.0 if abs(multiplier - 1) < 1e-6 else multiplier)  # type: ignore[arg-type]
    model = replace_layer(model, old, new)
    for head in heads:
        described = TiedLinear(to=name, bias=head.bias is not None)
        model = replace_layer(model, head, tied(described, new, head.bias))
    return model


def coded(evidence: Evidence) -> dict[str, int]:
    """Name → weights, of each layer that stores codes: a byte holds one to four."""
    found: dict[str, int] = {}
    for one in evidence.tensors:
        name, _, last = one.name.rpartition(".")
        width = last.removeprefix(CODES)
        if last.startswith(CODES) and width.isdigit():
            found[name] = max(found.get(name, 0), one.elements * 8 // int(width))
    return found


def narrow(evidence: Evidence) -> int:
    """Weights that are stored as integers, of any runtime."""
    return sum(coded(evidence).values()) or sum(one.elements for one in evidence.matrices if one.dtype in NARROW)


def left_float(before: Evidence, after: Evidence, kept: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """Sentences on weights that no codes stand for, though they were not to be kept in float.

    Those of linear layers, and matrices that are in none, as those of experts may be: no step here takes them.

    Args:
        before: counted on the float artifact.
        after: counted on the compressed artifact.
        kept: names of what was to stay in float.
        wanted: names of what was to be stored in codes; empty: all.
    """
    if not narrow(after):
        return [f"none of the {sum(before.dtypes.values()):,} weight elements is stored in codes"]
    left = [
        one
        for one in after.matrices
        if one.dtype in ("float32", "float16", "bfloat16")
        # A convolution is no linear layer: none of these methods takes one.
        and not one.plays(Role.CONVOLVED)
        and not of_embedding(one, before)
        and (not wanted or below(one.name, wanted))
        and not below(one.name, kept)
        and not corrects(one.name)
    ]
    linear = [one.name for one in left if len(one.shape) == 2 and one.plays(Role.MULTIPLIED)]
    stacks = {one.shape[0] for one in after.matrices if _stacked(one)}
    other = [one.name for one in left if _stacked(one) or _alone(one, stacks)]
    sentences = []
    if linear:
        sentences.append(
            f"{len(linear)} linear layers are still in float and were not to be kept: {', '.join(linear[:3])}"
        )
    if other:
        names = ", ".join(other[:3]) + (", …" if len(other) > 3 else "")
        sentences.append(
            f"{len(other)} weight matrices are in no linear layer, as experts may be, and so in float: {names}. "
            "This step does not store them in codes; where they are to stay in float, say so: "
            f"`keep_float: [{names}]`"
        )
    return sentences


def _stacked(one: TensorFact) -> bool:
    """Whether a tensor is several matrices, as for experts; what is added, such as a table of positions, is not."""
    return len(one.shape) == 3 and min(one.shape) > 1 and (one.roles is None or one.plays(Role.STACKED))


def _alone(one: TensorFact, stacks: Collection[int]) -> bool:
    """Whether a tensor is a matrix of which it is not known what multiplies with it.

    Routers are left out, and so are biases of experts: they have a row for each matrix of a stack.
    """
    return len(one.shape) == 2 and one.roles is None and min(one.shape) > 1 and one.shape[0] not in stacks
