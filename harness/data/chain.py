"""Answers that take several calls of a model, as the steps of a sampler do: the artifact is the model alone."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.data.base import Batch, Split

if TYPE_CHECKING:
    import torch

    # A model, as inputs to outputs.
    Call = Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]


class Chain(ABC):
    """How calls of a model make one answer; deterministic, so that both models can be given the same samples."""

    @abstractmethod
    def run(self, model: Call, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The answers to a batch of samples, first axis the batch.

        Args:
            model: called with what it takes itself, which need not be what a sample is.
            inputs: the samples.
        """

    def visited(self, model: Call, split: Split, count: int) -> Split:
        """What the model is fed on the way, as samples of its own: to trace it with, and to calibrate on.

        Args:
            model: the float model.
            split: samples that start a chain.
            count: how many inputs to keep; whole chains come first, so that every stage of them is met.
        """
        import torch

        fed: list[tuple[torch.Tensor, ...]] = []

        def recorded(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            fed.append(tuple(part.clone() for part in inputs))
            return model(inputs)

        for batch in split.batches(1):
            if len(fed) >= count:
                break
            self.run(recorded, batch.inputs)
        return Visited(tuple(torch.cat(parts) for parts in zip(*fed[:count], strict=True)))


class Visited(Split):
    """Inputs of a model, held in memory, and no targets.

    Args:
        inputs: each of shape (samples, …).
    """

    def __init__(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs[0])

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches by slicing; the targets are NaN."""
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            yield Batch(tuple(part[chosen] for part in self.inputs), torch.full((len(chosen),), torch.nan))

    def digests(self) -> Iterator[bytes]:
        """A digest of the bytes of each sample's inputs."""
        for row in range(len(self)):
            digest = hashlib.blake2b(digest_size=16)
            for part in self.inputs:
                digest.update(part[row].contiguous().numpy().tobytes())
            yield digest.digest()
