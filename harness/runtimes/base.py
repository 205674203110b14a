"""What every runtime is: it saves a subject as an artifact, and loads an artifact as a runner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.registry import Options, Registry

if TYPE_CHECKING:
    import torch

# Rows of a matrix that tell what grid it lies on.
SAMPLED = 64


def sampled(rows: int) -> slice:
    """The rows in the middle of a matrix."""
    first = max(0, rows // 2 - SAMPLED // 2)
    return slice(first, first + SAMPLED)


# Tokens that are generated before the cache is cut back to the prompt: rarely enough for a median not to see it.
DECODED = 32


class Runner(ABC):
    """A reloaded artifact, ready to run."""

    @abstractmethod
    def __call__(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Outputs of one batch, as float32 tensors whose first axis is the batch."""

    def prepared(self, inputs: tuple[torch.Tensor, ...]) -> Callable[[], object]:
        """A call on this batch with nothing but inference left in it: what the latency sampler times."""
        return lambda: self(inputs)

    def serving(self) -> Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]:
        """The model as a program in use calls it, one batch after another: with all kept that need not be made anew."""
        return self

    def prefilling(self, tokens: torch.Tensor) -> Callable[[], object]:
        """A call in which a language model reads a prompt, int64 of shape (1, tokens), into an empty cache.

        Raises:
            Unmeasurable: the artifact is no language model that keeps one.
        """
        raise Unmeasurable("this artifact keeps no cache of keys and values, so text cannot be generated with it")

    def decoding(self, tokens: torch.Tensor) -> Callable[[], object]:
        """A call in which a language model generates one token more, with a prompt in its cache to begin with.

        The cache grows by a token a call, and is back at the prompt after `DECODED` calls.

        Raises:
            Unmeasurable: the artifact is no language model that keeps a cache.
        """
        raise Unmeasurable("this artifact keeps no cache of keys and values, so text cannot be generated with it")

    @abstractmethod
    def evidence(self) -> Evidence:
        """Counts over the reloaded artifact, with what operators do with each tensor (`TensorFact.roles`)."""

    def matrices(self) -> Iterator[tuple[str, np.ndarray[Any, Any], bool]]:
        """Some rows of each weight matrix as they are multiplied with, for telling grids; none where unknown.

        Yields:
            Name, float32 values of the `SAMPLED` rows in the middle, and whether they are stored as integers.
        """
        yield from ()

    @abstractmethod
    def macs(self, inputs: tuple[torch.Tensor, ...]) -> int:
        """Multiply-accumulate operations of the artifact's graph on this batch."""


class Runtime(Options):
    """The `deploy:` of a spec."""

    runtime: str
    saves: ClassVar[frozenset[Form]]

    @abstractmethod
    def save(self, subject: Subject, folder: Path) -> None:
        """Write the artifact, and nothing but the artifact, into an empty folder: its bytes are what `size_mb` counts.

        Raises:
            ArtifactError: the subject cannot be saved.
        """

    @abstractmethod
    def load(self, folder: Path, threads: int) -> Runner:
        """The runner of a saved artifact.

        Raises:
            ArtifactError: the folder holds no artifact of this runtime.
        """

    def shuffle(self, folder: Path, seed: int) -> str:
        """Permute the weights of one layer of an artifact where its files hold them: a fault to prove the gate with.

        It is the largest matrix that is neither the first nor the last, tables of embeddings left out. Its stored
        elements change places, in an order that the seed gives, and nothing else changes.

        Returns:
            The name of the layer or of its weight.

        Raises:
            Unmeasurable: there is no layer, or this runtime does not know how.
        """
        raise Unmeasurable(f"the runtime {self.runtime} does not say how the weights of a layer are permuted")

    def warm(self, folder: Path) -> None:
        """Import and start what it takes to load and run an artifact, and keep nothing of the artifact itself.

        What memory grows by from then on is the artifact's: `peak_memory_mb` calls this for both sides before it
        measures one. By default what `kernels` imports.
        """
        self.kernels()

    @abstractmethod
    def kernels(self) -> str:
        """The numeric kernel path, for example ``x86`` or ``onednn``: accuracy is comparable only on the same one."""


RUNTIMES: Registry[Runtime] = Registry("runtimes", "runtime")
