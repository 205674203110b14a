"""A tensor whose elements take the values of codebooks, and stays so while it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.methods.weight_sharing.clustering import Array, Initialisation, kmeans, nearest, priced, start

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Clustering:
    """How one tensor's values are clustered.

    Attributes:
        bits: a codebook has at most 2 to this power values, zero not among them.
        initialisation: where the centroids start.
        price: squared error that a bit may cost, as a share of the mean square of the values that are not zero.
        seed: of a random start.
    """

    bits: int
    initialisation: Initialisation
    price: float
    seed: int

    def __call__(self, values: Array, zeros: int) -> tuple[Array, Array]:
        """Codebook, ascending, and the index of each value in it, -1 for what goes to zero.

        Args:
            values: shape (n,), float64, none of them zero.
            zeros: how many more are zero.
        """
        ordered = np.sort(values)
        book = np.unique(ordered)
        if len(book) > 2**self.bits:
            book = kmeans(ordered, start(ordered, 2**self.bits, self.initialisation, self.seed))
        if self.price == 0:
            return book, nearest(values, book)
        return priced(values, book, self.price * float(np.square(values).mean()), zeros)


class Shared:
    """Which elements of a tensor have one value; elements that are zero belong to none and stay zero.

    Gradients of elements that share a value are added up, and each gets the sum: a step of gradient descent then moves
    the value as a step on the codebook would, ∂L/∂C_k = Σ ∂L/∂W_ij over I_ij = k (S. Han, H. Mao, W. Dally, "Deep
    Compression", 2016, equation 3).
    """

    def __init__(self, tensor: torch.Tensor, clustering: Clustering, group: int | None, *, zeros_apart: bool) -> None:
        """Find the codebooks and set every element to its value.

        Args:
            tensor: changed in place.
            clustering: how.
            group: rows (output channels) that one codebook serves; None for all.
            zeros_apart: zeros stay as they are and need no place in a codebook.
        """
        import torch

        rows = tensor.detach().double().reshape(tensor.shape[0], -1).numpy()
        index = np.full(rows.shape, -1, np.int64)
        books: list[Array] = []
        used = 0
        for first in range(0, len(rows), group or len(rows)):
            part = rows[first : first + (group or len(rows))]
            chosen = part != 0 if zeros_apart else np.ones(part.shape, bool)
            if not chosen.any():
                continue
            book, place = clustering(part[chosen], int(part.size - chosen.sum()) if zeros_apart else 0)
            index[first : first + len(part)][chosen] = np.where(place < 0, -1, place + used)
            books.append(book)
            used += len(book)
        flat = torch.from_numpy(index.ravel())
        self._places = (flat >= 0).nonzero().flatten()
        self._index = flat[self._places]
        self._first = torch.from_numpy(np.unique(self._index.numpy(), return_index=True)[1])
        self._write(tensor, torch.from_numpy(np.concatenate([np.zeros(0), *books])).to(tensor.dtype))

    def summed(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient in which every element has the sum over those that share its value."""
        import torch

        taken = gradient.flatten()[self._places]
        sums = torch.zeros(len(self._first), dtype=gradient.dtype).index_add_(0, self._index, taken)
        spread = torch.zeros(gradient.numel(), dtype=gradient.dtype)
        spread[self._places] = sums[self._index]
        return spread.view_as(gradient)

    def codebook(self, tensor: torch.Tensor) -> torch.Tensor:
        """The values as they are now, in the order of their clusters."""
        return tensor.detach().flatten()[self._places[self._first]]

    def tie(self, tensor: torch.Tensor, *, half: bool = False) -> None:
        """Give all that share a value the very same bits again, rounded to float16 if asked to."""
        book = self.codebook(tensor)
        self._write(tensor, book.half().to(book.dtype) if half else book)

    def _write(self, tensor: torch.Tensor, book: torch.Tensor) -> None:
        import torch

        flat = torch.zeros(tensor.numel(), dtype=tensor.dtype)
        flat[self._places] = book[self._index]
        with torch.no_grad():
            tensor.copy_(flat.view_as(tensor))
