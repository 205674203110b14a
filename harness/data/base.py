"""What every dataset is: fixed splits that stream batches and cannot overlap."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from harness.errors import DataError
from harness.registry import Options, Registry

if TYPE_CHECKING:
    import torch

    from harness.data.chain import Chain
    from harness.forms import Encoder


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes:
        inputs: the model's arguments, each a tensor whose first axis is the batch.
        targets: what the task compares with; for classification int64 labels of shape (batch,).
        filled: whether a position only fills its sample up to the longest; bool of shape (batch, positions), or None.
    """

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor
    filled: torch.Tensor | None = None

    def first(self, count: int) -> Batch:
        """The first samples, at most so many."""
        filled = None if self.filled is None else self.filled[:count]
        return Batch(tuple(part[:count] for part in self.inputs), self.targets[:count], filled)

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """Vectors of values along their last axis, without those of positions that only fill up.

        Args:
            values: what a layer makes of the inputs; shape (batch, positions, features) where it keeps positions apart.

        Returns:
            Shape (vectors, features).
        """
        if self.filled is None or values.shape[:-1] != self.filled.shape:
            return values.reshape(-1, values.shape[-1])
        return values[~self.filled]


class Split(ABC):
    """A fixed, ordered set of samples."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples."""

    @abstractmethod
    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches of at most `size` samples, in order, or in the order that the seed `shuffle` gives."""

    def order(self, shuffle: int | None) -> torch.Tensor:
        """Indices of the samples, int64 of shape (samples,), as `batches` is to stream them."""
        import torch

        if shuffle is None:
            return torch.arange(len(self))
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(shuffle))

    def unpadded(self, size: int) -> Iterator[Batch]:
        """Stream batches of at most `size` samples in which nothing fills a sample up; they may come in another order.

        What is averaged over all positions of a layer's input takes these: what fills up is no sample. Here `batches`,
        for samples of one size; splits whose samples differ in length put those of one length together.
        """
        return self.batches(size)

    @abstractmethod
    def digests(self) -> Iterator[bytes]:
        """A digest of each sample's content, in order: equal content, equal digest."""

    def encoded(self, encoder: Encoder | None) -> Split:
        """The split as the model takes it; texts need the model's own tokenizer, all else is ready as it is."""
        return self

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """Sampling unit of each sample, shape (samples,); each sample its own unless a source says otherwise."""
        return np.arange(len(self))

    @property
    def names(self) -> list[str]:
        """What a report calls each sample."""
        return [str(index) for index in range(len(self))]


def of_one_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers of samples, at most `size` at a time and all of one length; the shortest first, else in order."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    for length in sorted(groups):
        group = groups[length]
        yield from (group[start : start + size] for start in range(0, len(group), size))


class TensorSplit(Split):
    """Samples held in memory: inputs of shape (samples, …) and targets of shape (samples,)."""

    def __init__(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        units: np.ndarray[Any, Any] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self._units, self._names = units, names

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches by slicing."""
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            yield Batch((self.inputs[chosen],), self.targets[chosen])

    def digests(self) -> Iterator[bytes]:
        """A digest of each sample's bytes."""
        for sample in self.inputs:
            yield hashlib.blake2b(sample.contiguous().numpy().tobytes(), digest_size=16).digest()

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """Sampling unit of each sample."""
        return super().units if self._units is None else self._units

    @property
    def names(self) -> list[str]:
        """What a report calls each sample."""
        return super().names if self._names is None else self._names


@dataclass(frozen=True)
class Dataset:
    """The splits of one dataset. `train` is None where nothing is set aside for training.

    `calibration` may be a part of `train`; neither shares a sample with `evaluation`. Where there is a `chain`, samples
    of `calibration` and `evaluation` are what starts it, and samples of `train` are what the model itself takes.

    Attributes:
        notes: what was done to the splits that a reader must know, as sentences.
    """

    calibration: Split
    evaluation: Split | None
    train: Split | None = None
    classes: tuple[str, ...] = ()
    chain: Chain | None = None
    notes: tuple[str, ...] = ()

    def checked(self) -> Dataset:
        """Itself, once the splits are known to hold samples and to share none with evaluation.

        Raises:
            DataError: a split is empty, or a sample is both used for compression and evaluated on.
        """
        if self.evaluation is None or len(self.evaluation) == 0:
            raise DataError("the evaluation split is empty: nothing can be measured on it")
        if len(self.calibration) == 0:
            raise DataError("the calibration split is empty")
        evaluated = dict(zip(self.evaluation.digests(), self.evaluation.names, strict=True))
        for use, split in (("calibration", self.calibration), ("training", self.train)):
            if split is None:
                continue
            for digest, name in zip(split.digests(), split.names, strict=True):
                if digest in evaluated:
                    raise DataError(
                        f"{use} sample {name} is also evaluation sample {evaluated[digest]}: the splits overlap, so "
                        "the evaluation would measure memory"
                    )
        return self

    def encoded(self, encoder: Encoder | None) -> Dataset:
        """The splits as the model takes them.

        Args:
            encoder: what the model's source makes inputs of texts with; None where it has no tokenizer.

        Raises:
            DataError: the samples are texts, and there is no encoder.
        """
        evaluation, train = self.evaluation, self.train
        return replace(
            self,
            calibration=self.calibration.encoded(encoder),
            evaluation=None if evaluation is None else evaluation.encoded(encoder),
            train=None if train is None else train.encoded(encoder),
        )

    def without_evaluation(self) -> Dataset:
        """What compression steps are given."""
        return replace(self, evaluation=None)


class Data(Options):
    """The `data:` of a spec."""

    source: str
    calibration: int = Field(default=128, ge=1, description="calibration samples, taken from the training split")
    tasks: ClassVar[frozenset[str]]
    # Whether the samples are texts, which the model's own tokenizer makes inputs of.
    texts: ClassVar[bool] = False
    # Options that the evaluation split does not follow from: neither its samples, nor their truth, nor their order.
    unseen: ClassVar[frozenset[str]] = frozenset({"calibration"})

    @property
    def served(self) -> frozenset[str]:
        """The tasks that the data serves with these options."""
        return self.tasks

    def evaluation_options(self) -> dict[str, Any]:
        """The options that decide what is evaluated, as JSON; each that is `unseen` stands at its default.

        An unseen option without a default is left out.
        """
        fields = type(self).model_fields
        required = {name for name in self.unseen if fields[name].is_required()}
        # At their defaults and not left out: where nothing is set, the address is that of when all options counted.
        usual = {name: fields[name].get_default(call_default_factory=True) for name in self.unseen - required}
        return self.model_copy(update=usual).model_dump(mode="json", exclude=required)

    @abstractmethod
    def load(self, root: Path) -> Dataset:
        """The splits.

        Raises:
            DataError: the data is absent or malformed, with the way out.
        """

    def evaluated(self, root: Path) -> int | None:
        """How many sampling units the evaluation split holds, where that is known without loading it."""
        return None

    @property
    def most(self) -> int | None:
        """Evaluation samples at most, where the options say so."""
        return None

    @abstractmethod
    def fingerprint(self, root: Path) -> str:
        """What outside the options decides the samples: content hashes, package versions. Cheap, and free of torch."""


DATA: Registry[Data] = Registry("data", "source")
