"""What is likely of a weight, given those that were coded before it: probabilities for an entropy coder.

A tensor is walked line by line, lines being its rows or its columns. Whether an element is other than zero depends on
whether its neighbours are (in the line before, and around the same place some lines before: an image's row above), on
how dense those lines were, and on how dense its place in the line was so far; which value it takes depends on the
neighbours' values. Each such context counts what it has seen, and the counts are the probabilities: context modelling
as in M. Weinberger, G. Seroussi, G. Sapiro, "The LOCO-I lossless image compression algorithm", 2000.

Encoder and decoder must come to the same bits on any machine: counts are whole, and each probability takes sums,
products and quotients of float64 alone, which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from harness.artifacts.packed_bytes import Array
from harness.artifacts.palette import VECTOR_ROW, Palette

LEAST, MOST = 1e-5, 1 - 1e-5
# Densities relative to the mean that part one context from the next.
BUCKETS = (0.5, 1.0, 2.0)
# Sums of neighbouring values, each from -8 to 8 and the near ones twice, that part one context from the next.
SIGNS = (-30, -15, -8, -3, 0, 1, 4, 9, 16, 31)
LARGEST_LEVEL = 8
# How much the mean of all contexts weighs in each: a context is believed after so many sightings.
MASK_PRIOR, VALUE_PRIOR = 0.8, 4.0
# A plan is tried on so many elements from the middle, and a stride may be so long.
TRIED, FARTHEST = 2**18, 64
# Elements whose odds are worked out at once: a long line takes no more memory for it, and gives the same bits.
AT_ONCE = 2**14


@dataclass(frozen=True)
class Plan:
    """How a tensor is walked.

    Attributes:
        flipped: lines are columns.
        stride: lines between an element and its neighbour above; 0: the neighbours are no context, nor is 1 a stride.
        places: the density of an element's place in the line so far is a context.
    """

    flipped: bool
    stride: int
    places: bool


class Coder(ABC):
    """Codes symbols at given probabilities, or decodes them, and says what they are."""

    @abstractmethod
    def mask(self, line: int, likely: Array) -> Array:
        """Which elements of a line have an index: shape (length,), bool; `likely` gives their probabilities."""

    @abstractmethod
    def values(self, line: int, places: Array, weights: Array) -> Array:
        """The indices of a line's elements at these places; `weights` of shape (places, alphabet) are their odds."""


def walk(palette: Palette, ones: int, plan: Plan, coder: Coder) -> Array:
    """Code every element of a tensor.

    Args:
        palette: rows, columns and codebooks are used, and whether there is a mask; what it holds is the coder's matter.
        ones: elements that have an index.
        plan: how to walk.
        coder: is asked, line by line.

    Returns:
        Shape (rows, columns): the index of each element, -1 where it has none.
    """
    height, length = (palette.columns, palette.rows) if plan.flipped else (palette.rows, palette.columns)
    before = plan.stride + 1
    # Lines that come before the first are empty.
    levels = np.zeros((before + height, length), np.int64)
    grid = np.full((height, length), -1, np.int64)
    table, tall = _levels(palette), palette.largest
    mask = _Mask(ones / max(1, palette.rows * palette.columns), length)
    values = _Values(tall)
    for line in range(height):
        near = levels[line : line + before]
        here = np.ones(length, bool)
        if palette.mask is not None:
            context = mask.context(near, plan)
            here = coder.mask(line, mask.probabilities(context))
            mask.learn(context, here)
        places = np.flatnonzero(here)
        if len(places) == 0:
            continue
        if tall > 1:
            context = _signs(near, places, plan)
            parts = [slice(start, start + AT_ONCE) for start in range(0, len(places), AT_ONCE)]
            found = np.concatenate([coder.values(line, places[part], values.weights(context[part])) for part in parts])
            values.learn(context, found)
        else:
            found = np.zeros(len(places), np.int64)
        grid[line, places] = found
        owners = (places if plan.flipped else np.full(len(places), line)) // palette.group
        levels[before + line, places] = table[owners, found]
    return grid.T if plan.flipped else grid


class _Mask:
    """How likely an element is other than zero."""

    def __init__(self, mean: float, length: int) -> None:
        contexts = 16 * (len(BUCKETS) + 1) ** 2
        self._mean = mean
        self._ones = np.full(contexts, MASK_PRIOR * mean)
        self._all = np.full(contexts, MASK_PRIOR)
        self._seen, self._lines = np.zeros(length), 0

    def context(self, near: Array, plan: Plan) -> Array:
        """The context of each element of the line that follows these."""
        length = near.shape[1]
        context = np.zeros(length, np.int64)
        if plan.stride:
            around = near[[-1, 1, 0, 2]] != 0
            context = around[0] + 2 * around[1] + 4 * around[2] + 8 * around[3]
            dense = (float(np.count_nonzero(around)) / 4 + 0.3) / (max(self._mean, LEAST) * length)
            context = context * 4 + int(np.searchsorted(BUCKETS, dense, side="right"))
        if plan.places:
            dense = (self._seen + 2 * self._mean) / ((self._lines + 2) * max(self._mean, LEAST))
            context = context * 4 + np.searchsorted(BUCKETS, dense, side="right")
        return context

    def probabilities(self, context: Array) -> Array:
        """Of each element, between `LEAST` and `MOST`."""
        clipped: Array = np.clip(self._ones[context] / self._all[context], LEAST, MOST)
        return clipped

    def learn(self, context: Array, here: Array) -> None:
        """What the line was."""
        self._ones += np.bincount(context[here], minlength=len(self._ones))
        self._all += np.bincount(context, minlength=len(self._all))
        self._seen += here
        self._lines += 1


class _Values:
    """How likely each index is."""

    def __init__(self, alphabet: int) -> None:
        self._counts = np.zeros((len(SIGNS) + 1, alphabet))
        self._total = np.full(alphabet, 0.5)

    def weights(self, context: Array) -> Array:
        """Odds of each index, shape (elements, alphabet): counts of the context, and the mean of all as a prior."""
        # Halves add up without rounding.
        mean = self._total * (VALUE_PRIOR / float(self._total.sum()))
        weights: Array = self._counts[context] + mean
        return weights

    def learn(self, context: Array, found: Array) -> None:
        """What the indices were."""
        np.add.at(self._counts, (context, found), 1)
        self._total += np.bincount(found, minlength=len(self._total))


def _signs(near: Array, places: Array, plan: Plan) -> Array:
    """The context of the values at these places."""
    if not plan.stride:
        return np.zeros(len(places), np.int64)
    around = near[:, places]
    context: Array = np.searchsorted(SIGNS, 2 * around[-1] + 2 * around[1] + around[0] + around[2], side="right")
    return context


def _levels(palette: Palette) -> Array:
    """For each codebook and index the value's rank, counted from zero and scaled to `LARGEST_LEVEL`."""
    table = np.ones((len(palette.books), max(1, palette.largest)), np.int64)
    for row, book in zip(table, palette.books, strict=True):
        if len(book) == 0:
            continue
        sign = np.int64(1) << (8 * book.dtype.itemsize - 1)
        negative = book.astype(np.int64) & sign != 0
        # Words ascend: first the positive values, the smallest first, then the negative ones, the smallest first.
        rank = np.where(negative, np.cumsum(~negative)[-1] - np.arange(1, len(book) + 1), np.arange(1, len(book) + 1))
        top = int(np.abs(rank).max())
        row[: len(book)] = np.sign(rank) * ((2 * LARGEST_LEVEL * np.abs(rank) + top) // (2 * top))
    return table


class _Counting(Coder):
    """Adds up the bits that a known tensor would take."""

    def __init__(self, grid: Array) -> None:
        self.bits, self._grid = 0.0, grid

    def mask(self, line: int, likely: Array) -> Array:
        here: Array = self._grid[line] >= 0
        self.bits -= float(np.log2(np.where(here, likely, 1 - likely)).sum())
        return here

    def values(self, line: int, places: Array, weights: Array) -> Array:
        found: Array = self._grid[line, places]
        self.bits -= float(np.log2(weights[np.arange(len(found)), found] / weights.sum(1)).sum())
        return found


def gridded(palette: Palette) -> Array:
    """Shape (rows, columns): the index of each element, -1 where it has none."""
    grid = np.full((palette.rows, palette.columns), -1, np.int64)
    grid[np.ones(grid.shape, bool) if palette.mask is None else palette.mask] = palette.index
    return grid


def best_plan(palette: Palette) -> Plan:
    """The plan that takes the fewest bits, of those that look promising."""
    if 1 in (palette.rows, palette.columns) or palette.columns <= VECTOR_ROW:
        return Plan(flipped=False, stride=0, places=False)
    part = _middle(palette)
    grid, found = gridded(part), []
    for flipped in (False, True):
        lines = grid.T if flipped else grid
        for stride in (0, *_lags(lines)):
            # Where neighbours tell, the density of a place tells nothing more.
            plan, counting = Plan(flipped, stride, places=stride == 0), _Counting(lines)
            walk(part, len(part.index), plan, counting)
            found.append((counting.bits, flipped, stride))
    _, flipped, stride = min(found)
    return Plan(flipped, stride, places=stride == 0)


def _middle(palette: Palette) -> Palette:
    """A part of a tensor that is not too large to be tried; with whole rows, as strides go along them."""
    rows = max(1, TRIED // palette.columns)
    if rows >= palette.rows:
        return palette
    first = (palette.rows - rows) // 2
    grid = gridded(palette)[first : first + rows]
    mask = grid >= 0
    book = max(palette.books, key=len)
    return Palette(rows, palette.columns, rows, (book,), None if palette.mask is None else mask, grid[mask])


def _lags(lines: Array) -> list[int]:
    """The two distances between lines at which they are most alike."""
    here = (lines >= 0).astype(np.float32) if (lines < 0).any() else (lines - lines.mean()).astype(np.float32)
    here = here - here.mean(0)
    far = min(FARTHEST, len(lines) - 1)
    alike = {lag: float((here[lag:] * here[:-lag]).sum()) for lag in range(2, far + 1)}
    return sorted(alike, key=lambda lag: -alike[lag])[:2]
