"""Texts as samples: what the model takes of them is made by the model's own tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.base import Batch, Split, of_one_length
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

    from harness.forms import Encoder


class TextSplit(Split):
    """Texts held in memory.

    Args:
        texts: one a sample.
        targets: first axis the sample; for classification int64 labels of shape (samples,).
        names: what a report calls each sample; its number if left out.
        units: shape (samples,), the sampling unit of each; each its own if left out.
        encoder: gives the model's inputs for some texts, padded to the longest of them.
    """

    def __init__(
        self,
        texts: Sequence[str],
        targets: torch.Tensor,
        names: Sequence[str] | None = None,
        units: np.ndarray[Any, Any] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.texts, self.targets = list(texts), targets
        self._names, self._units, self._encoder = names, units, encoder

    def __len__(self) -> int:
        return len(self.texts)

    def encoded(self, encoder: Encoder | None) -> TextSplit:
        """The split with the model's tokenizer.

        Raises:
            DataError: the model's source brings none.
        """
        if encoder is None:
            raise DataError(
                "the samples are texts, and the source of the model brings no tokenizer: `source: transformers` does"
            )
        return TextSplit(self.texts, self.targets, self._names, self._units, encoder)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream encoded batches: int64 token numbers and mask, both of shape (batch, longest of the batch)."""
        import torch

        if self._encoder is None:
            raise DataError("texts were asked for before a tokenizer was given")
        for chosen in torch.split(self.order(shuffle), size):
            yield self._batch(chosen.tolist(), self._encoder)

    def unpadded(self, size: int) -> Iterator[Batch]:
        """Stream encoded batches of texts with equally many tokens, the shortest first: a mask shows all of them."""
        if self._encoder is None:
            raise DataError("texts were asked for before a tokenizer was given")
        lengths = [self._encoder([text])[0].shape[1] for text in self.texts]
        for chosen in of_one_length(lengths, size):
            yield self._batch(chosen, self._encoder)

    def _batch(self, chosen: Sequence[int], encoder: Encoder) -> Batch:
        inputs = encoder([self.texts[index] for index in chosen])
        filled = inputs[1] == 0 if len(inputs) > 1 else None
        return Batch(inputs, self.targets[list(chosen)], filled)

    def digests(self) -> Iterator[bytes]:
        """A digest of each text, without the white space around it."""
        for text in self.texts:
            yield hashlib.blake2b(text.strip().encode(), digest_size=16).digest()

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """Sampling unit of each text."""
        return super().units if self._units is None else self._units

    @property
    def names(self) -> list[str]:
        """What a report calls each text."""
        return super().names if self._names is None else list(self._names)
