"""Tensors in a range code at the probabilities of a model that learns on the way, so that no table of it is stored.

The coder is that of the package constriction: R. Bamler, "Understanding entropy coding with asymmetric numeral
systems", 2022.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.artifacts.context_model import Coder, Plan, best_plan, gridded, walk
from harness.artifacts.packed_bytes import Array, Cursor, number
from harness.artifacts.palette import Palette, read_books, write_books

MASKED, FLIPPED, PLACES = 1, 2, 4


def write(palette: Palette, dtype: str) -> bytes:
    """Codebooks, how the tensor is walked, and one range code of mask and indices."""
    from constriction import stream

    plan = best_plan(palette)
    flags = MASKED * (palette.mask is not None) | FLIPPED * plan.flipped | PLACES * plan.places
    head = write_books(palette, dtype) + bytes([flags]) + number(plan.stride) + number(len(palette.index))
    encoder = stream.queue.RangeEncoder()
    grid = gridded(palette)
    walk(palette, len(palette.index), plan, _Writing(encoder, grid.T if plan.flipped else grid))
    coded: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return head + coded


def read(cursor: Cursor, dtype: str, rows: int, columns: int) -> Palette:
    """The palette that `write` was given.

    Raises:
        EOFError, ValueError: it is not what `write` writes.
    """
    from constriction import stream

    group, books = read_books(cursor, dtype, rows)
    flags, stride, ones = cursor.take(1)[0], cursor.number(), cursor.number()
    plan = Plan(bool(flags & FLIPPED), stride, bool(flags & PLACES))
    if flags > MASKED | FLIPPED | PLACES or stride == 1 or stride > max(rows, columns) or ones > rows * columns:
        raise ValueError(f"flags {flags}, a stride of {stride}, and {ones} of {rows * columns} elements")
    blank = Palette(rows, columns, group, books, np.zeros(0, bool) if flags & MASKED else None, np.zeros(0, np.int64))
    decoder = stream.queue.RangeDecoder(np.frombuffer(cursor.take(cursor.left), "<u4").astype(np.uint32))
    grid = walk(blank, ones, plan, _Reading(decoder))
    mask = grid >= 0
    if int(mask.sum()) != ones:
        raise ValueError(f"{ones} elements are to have an index, and {int(mask.sum())} do")
    return replace(blank, mask=mask if flags & MASKED else None, index=grid[mask])


class _Writing(Coder):
    """Encodes a known tensor."""

    def __init__(self, encoder: Any, grid: Array) -> None:
        from constriction import stream

        self._encoder, self._grid = encoder, grid
        self._two, self._many = stream.model.Bernoulli(perfect=False), stream.model.Categorical(perfect=False)

    def mask(self, line: int, likely: Array) -> Array:
        here: Array = self._grid[line] >= 0
        self._encoder.encode(here.astype(np.int32), self._two, likely)
        return here

    def values(self, line: int, places: Array, weights: Array) -> Array:
        found: Array = self._grid[line, places]
        self._encoder.encode(found.astype(np.int32), self._many, weights)
        return found


class _Reading(Coder):
    """Decodes."""

    def __init__(self, decoder: Any) -> None:
        from constriction import stream

        self._decoder = decoder
        self._two, self._many = stream.model.Bernoulli(perfect=False), stream.model.Categorical(perfect=False)

    def mask(self, line: int, likely: Array) -> Array:
        here: Array = self._decoder.decode(self._two, likely).astype(bool)
        return here

    def values(self, line: int, places: Array, weights: Array) -> Array:
        found: Array = self._decoder.decode(self._many, weights).astype(np.int64)
        return found
