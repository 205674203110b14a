"""A tensor as codebooks and the indices into them; zeros may stand apart and need no index."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.artifacts.packed_bytes import Array, Cursor, Tensor, elements, narrowed, number, raw, widened

# An index takes a byte.
LARGEST_BOOK = 256
# So many rows may have a codebook of their own.
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# A vector is a matrix of rows this long, or of the longest shorter ones that come out even.
VECTOR_ROW = 16


@dataclass(frozen=True)
class Palette:
    """What a tensor is made of.

    Attributes:
        rows, columns: the tensor as a matrix; rows are its first axis.
        group: rows that one codebook serves.
        books: for every group the words that occur in it, ascending; zero not among them where zeros stand apart.
        mask: shape (rows, columns), which elements have an index; None where all have.
        index: shape (indexed elements,), in the order of rows: place in the codebook of the element's group.
    """

    rows: int
    columns: int
    group: int
    books: tuple[Array, ...]
    mask: Array | None
    index: Array

    @property
    def owners(self) -> Array:
        """Shape (indexed elements,): which codebook each index is into."""
        counts = np.full(self.rows, self.columns) if self.mask is None else self.mask.sum(1)
        return np.repeat(np.arange(self.rows) // self.group, counts)

    @property
    def largest(self) -> int:
        """Values in the largest codebook."""
        return max((len(book) for book in self.books), default=0)

    def words(self, zero: Array) -> Array:
        """The elements.

        Args:
            zero: shape (elements,), zeros of the tensor's word type; is written to and returned.

        Raises:
            IndexError: an index points past its codebook.
        """
        starts = np.cumsum([0, *(len(book) for book in self.books)])
        owners = self.owners
        if len(self.index) and bool((self.index >= np.diff(starts)[owners]).any()):
            raise IndexError("an index points past its codebook")
        values = np.concatenate([*self.books, zero[:0]])[starts[owners] + self.index]
        if self.mask is None:
            zero[:] = values
        else:
            zero[self.mask.ravel()] = values
        return zero


def palettes(tensor: Tensor, *, apart: bool) -> Palette | None:
    """The palette of a tensor that is likely to take the fewest bytes.

    Args:
        tensor: what to take apart.
        apart: whether zeros stand apart.

    Returns:
        None where some group of rows has too many values, however small the groups.
    """
    if tensor.words.size == 0:
        return None
    rows, _ = shaped(tensor.shape)
    matrix = tensor.words.reshape(rows, -1)
    best: tuple[float, Palette] | None = None
    for group in sorted({min(size, rows) for size in (*GROUPS, rows)}, reverse=True):
        found = _palette(matrix, group, apart)
        if found is None:
            continue
        cost = _bits(found, matrix.dtype.itemsize)
        if best is None or cost < best[0]:
            best = cost, found
    return best[1] if best is not None else None


def _palette(matrix: Array, group: int, apart: bool) -> Palette | None:
    mask = matrix != 0 if apart else None
    books, parts = [], []
    for first in range(0, len(matrix), group):
        rows = matrix[first : first + group]
        values = rows[rows != 0] if apart else rows.ravel()
        # A few hundred values tell most tensors that are no palette.
        if len(np.unique(values[: 2 * LARGEST_BOOK])) > LARGEST_BOOK:
            return None
        book, place = np.unique(values, return_inverse=True)
        if len(book) > LARGEST_BOOK:
            return None
        books.append(book)
        parts.append(place)
    return Palette(len(matrix), matrix.shape[1], group, tuple(books), mask, np.concatenate(parts))


def _bits(palette: Palette, itemsize: int) -> float:
    """Codebooks, and the entropy of the indices, which share one alphabet over all groups."""
    counts = np.bincount(palette.index, minlength=1)
    share = counts[counts > 0] / max(1, counts.sum())
    return sum(8 * itemsize * len(book) for book in palette.books) - float((counts[counts > 0] * np.log2(share)).sum())


def write_books(palette: Palette, dtype: str) -> bytes:
    """Group size and codebooks, their values as short as they can be held exactly."""
    everything = np.concatenate(palette.books)
    short, stored = narrowed(everything, dtype)
    ends = np.cumsum([len(book) for book in palette.books])
    sizes = b"".join(number(len(book)) for book in palette.books)
    assert ends[-1] == len(short)
    return number(palette.group) + bytes([stored != dtype]) + sizes + raw(short)


def read_books(cursor: Cursor, dtype: str, rows: int) -> tuple[int, tuple[Array, ...]]:
    """Group size and codebooks that `write_books` wrote.

    Raises:
        EOFError, ValueError: they do not fit the rest.
    """
    group = cursor.number()
    if not 1 <= group <= rows:
        raise ValueError(f"groups of {group} rows, and there are {rows}")
    stored = "float16" if _flag(cursor) else dtype
    sizes = [cursor.number() for _ in range(-(-rows // group))]
    if max(sizes) > LARGEST_BOOK:
        raise ValueError(f"a codebook of {max(sizes)} values")
    values = widened(cursor.words(sum(sizes), stored), stored, dtype)
    return group, tuple(np.split(values, np.cumsum(sizes)[:-1]))


def _flag(cursor: Cursor) -> bool:
    value = cursor.take(1)[0]
    if value > 1:
        raise ValueError(f"a flag of {value}")
    return bool(value)


def shaped(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tensor as a matrix.

    Raises:
        ValueError: it is empty or too large.
    """
    count = elements(shape)
    if count == 0:
        raise ValueError("an empty tensor has no palette")
    rows = shape[0] if len(shape) > 1 else count // math.gcd(count, VECTOR_ROW)
    return rows, count // rows
