"""Whether weights lie on a grid: a model that was quantized before says so in its values, whatever type they have.

A float model that was read from a quantized file is already rounded. What a compression loses is then counted from
there, and an artifact that writes the same grid out again loses nothing and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float32]]

# Formats in few bits share a scale among so many neighbours, or among a multiple of them; GGUF's of 6 bits among 16.
GROUP = 32
GROUPS = (32, 16)
MOST_BITS = 8
# Values off a grid by less than this share of its step are on it: scales are kept in 16 bits, and sums round.
TOLERANCE = 0.01
# The nearest two of 32 values may be some steps apart.
_APART = (1, 2, 3, 4)
# Of a matrix; one group in a hundred may hold nothing but zeros, or be what a row was filled up with.
_ENOUGH = 0.99


def bits(weights: Matrix, group: int = GROUP) -> int | None:
    """The fewest bits b so that every group of neighbours lies on evenly spaced levels, 2^b at most.

    Args:
        weights: shape (rows, columns); columns past the last whole group are left out.
        group: neighbours in a row.

    Returns:
        1 to 8; None where some groups lie on no such grid.
    """
    columns = weights.shape[1] // group * group
    if not columns:
        return None
    values = np.sort(weights[:, :columns].astype(np.float64).reshape(-1, group), axis=1)
    values = values[values[:, -1] > values[:, 0]]
    if not len(values):
        return None
    span = values[:, -1] - values[:, 0]
    gaps = np.diff(values, axis=1)
    # What differs by rounding alone is one level.
    nearest = np.where(gaps > 1e-4 * span[:, None] / 2**MOST_BITS, gaps, np.inf).min(axis=1)
    found = np.full(len(values), np.inf)
    for apart in _APART:
        places = (values - values[:, :1]) * (apart / nearest)[:, None]
        on = (np.abs(places - np.round(places)) < TOLERANCE).all(axis=1)
        needed = np.ceil(np.log2(np.round(places[:, -1]) + 1))
        found = np.where(on & (needed < found), needed, found)
    if (found <= MOST_BITS).mean() < _ENOUGH:
        return None
    return int(max(1, found[found <= MOST_BITS].max()))


def same(reference: Matrix, weights: Matrix) -> bool:
    """Whether weights are the float model's own, to a hundredth of what 8 bits could tell apart."""
    reach = np.abs(reference).max(axis=1, keepdims=True) / 2 ** (MOST_BITS - 1)
    return reference.shape == weights.shape and bool((np.abs(reference - weights) <= TOLERANCE * reach).all())


@dataclass(frozen=True)
class Stored:
    """One matrix of both artifacts, as it is multiplied with.

    Attributes:
        narrow: whether the compressed artifact stores it as integers.
    """

    reference: Matrix
    compressed: Matrix
    narrow: bool


def notes(matrices: Iterable[Stored]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is to be said of the float and of the compressed artifact; nothing where no weight lies on a grid."""
    total = on_grid = narrow = again = 0
    most = 0
    for one in matrices:
        total += 1
        own = next((found for group in GROUPS if (found := bits(one.reference, group)) is not None), None)
        on_grid, most = on_grid + (own is not None), max(most, own or 0)
        narrow += one.narrow
        again += one.narrow and own is not None and same(one.reference, one.compressed)
    if not on_grid:
        return (), ()
    ours = (
        f"{on_grid} of {total} weight matrices lie on grids of at most {2**most} levels a group of {GROUPS[1]} or "
        f"{GROUPS[0]}: the float model was quantized before, and every figure is relative to it as it is",
    )
    theirs = (
        f"{again} of {narrow} matrices of integers write the float model's own grid out again: of these nothing was "
        "lost, and nothing is proven",
    )
    return ours, theirs if again else ()
