"""What tensors of codes stand for: how many weights, and how many of these are zero."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from harness.artifacts.narrow_codes import unpack

if TYPE_CHECKING:
    import torch

# `codes4`: pieces of so many bits; without a number, two codes of 4 bits a byte.
_CODES = re.compile(r"(?P<layer>.+)\.codes(?P<width>\d?)")


# Which of sixteen codes are zero in the tables of bitsandbytes.
ZERO_CODES = {"nf4": (7,), "fp4": (0, 8)}


def code_counts(tensors: Mapping[str, torch.Tensor], zero_codes: Collection[int] = ()) -> dict[str, tuple[int, int]]:
    """Weights and zeros of every tensor of codes, by its name.

    A code that is cut into pieces counts with its widest one, and the others with none. Which are zero is told by zero
    points, by the middle of codes that have none, or by a table of values that lies beside them. Rows are filled up to
    whole groups, with zeros: so far as the last columns of the last of several groups are zero in all rows, they count
    as filling, for their true number is not stored.

    Args:
        tensors: all that an artifact stores.
        zero_codes: of codes of 4 bits without a table beside them, those that stand for zero; none where not known.
    """
    layers: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name, tensor in tensors.items():
        found = _CODES.fullmatch(name)
        if found and tensor.ndim == 2 and str(tensor.dtype) in ("torch.uint8", "torch.int8"):
            layers[found["layer"]][int(found["width"] or 4)] = name
    counts: dict[str, tuple[int, int]] = {}
    for layer, pieces in layers.items():
        widest, *others = sorted(pieces, reverse=True)
        codes = tensors[pieces[widest]]
        scales, table = (tensors.get(f"{layer}.{name}") for name in ("scales", "table"))
        if str(codes.dtype) == "torch.int8":
            counts[pieces[widest]] = codes.numel(), int((codes == 0).sum())
        elif layer.endswith(".matrix") and scales is not None and scales.ndim == 2:
            whole = {width: tensors[pieces[width]] for width in (widest, *others)}
            counts[pieces[widest]] = _grouped(whole, scales, tensors.get(f"{layer}.zeros"))
        else:
            zero = [int(table.abs().argmin())] if table is not None else list(zero_codes)
            counts[pieces[widest]] = codes.numel() * 8 // widest, _halves(codes, zero) if widest == 4 else 0
        counts |= {pieces[width]: (0, 0) for width in others}
    return counts


def _halves(codes: torch.Tensor, wanted: Collection[int]) -> int:
    """How many of the codes, two a byte, are among those wanted."""
    return sum(int((half == one).sum()) for half in (codes & 15, codes >> 4) for one in wanted)


def _grouped(
    pieces: Mapping[int, torch.Tensor], scales: torch.Tensor, zero_points: torch.Tensor | None
) -> tuple[int, int]:
    """Weights and zeros of codes in groups that share a scale."""
    widest = max(pieces)
    rows, groups = scales.shape
    group = pieces[widest].shape[1] * 8 // widest // groups
    codes = unpack(pieces, groups * group).view(rows, groups, group)
    middle = 2 ** (sum(pieces) - 1)
    zero = ((codes == middle) if zero_points is None else (codes == zero_points.unsqueeze(-1))).flatten(1)
    columns = groups * group
    while groups > 1 and columns > (groups - 1) * group + 1 and bool(zero[:, columns - 1].all()):
        columns -= 1
    return rows * columns, int(zero[:, :columns].sum())
