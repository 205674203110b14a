"""An evaluation that ends before its data does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from harness.data.base import Batch, Split
from harness.mutants.arithmetic import exhaustive
from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.run.result import Result


class _Half(Split):
    """The first half of a split.

    Args:
        whole: the split.
        silent: whether the length is stated as what is left, and not as what there was.
    """

    def __init__(self, whole: Split, *, silent: bool) -> None:
        self._whole, self._silent = whole, silent
        self._kept = math.ceil(len(whole) / 2)

    def __len__(self) -> int:
        return self._kept if self._silent else len(self._whole)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches until half of the samples went by."""
        left = self._kept
        for batch in self._whole.batches(size, shuffle):
            if left <= 0:
                return
            yield batch.first(left)
            left -= len(batch.targets)

    def digests(self) -> Iterator[bytes]:
        """Digests of as many samples as are stated."""
        return (digest for digest, _ in zip(self._whole.digests(), range(len(self)), strict=False))

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """Units of as many samples as are stated."""
        return self._whole.units[: len(self)]

    @property
    def names(self) -> list[str]:
        """Names of as many samples as are stated."""
        return self._whole.names[: len(self)]


@MUTANTS.register
class TruncatedEvaluation(Mutant):
    """The stream of evaluation samples ends half-way, for both models."""

    mutant: Literal["truncated-evaluation"] = "truncated-evaluation"
    what: ClassVar[str] = "the stream of evaluation samples ends half-way"
    answers_wrongly: ClassVar[bool] = True

    def split(self, split: Split) -> Split:
        """Half the samples, under the length of all."""
        return _Half(split, silent=False)

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Whatever is measured on all samples claims it: they are counted."""
        labels = exhaustive(green)
        missing = "" if labels else "a budget that is measured on all samples"
        return Claim(dict.fromkeys(labels, "samples are counted"), missing)


@MUTANTS.register
class HalvedData(Mutant):
    """Half of the evaluation data is gone, and the dataset does not say so: only what was accepted before tells."""

    mutant: Literal["halved-data"] = "halved-data"
    what: ClassVar[str] = "half of the evaluation data gone, and nothing says so"
    answers_wrongly: ClassVar[bool] = True

    def split(self, split: Split) -> Split:
        """Half the samples, under their own length."""
        return _Half(split, silent=True)

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Whatever has a baseline of all samples' outcomes claims it: they are of other samples."""
        budgets, kept = green.budgets(), {}
        for label in exhaustive(green):
            accepted = budgets[label].accepted
            if accepted is not None and accepted.outcomes is not None:
                kept[label] = "the baseline holds outcomes of all samples"
        return Claim(kept, "" if kept else "a baseline with all samples' outcomes")
