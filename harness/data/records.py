"""Records of texts, wherever they lie: with a label, in pairs with a score, or by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from harness.data.base import Data, Dataset
from harness.data.labels import in_order, listed, meanings
from harness.data.text import TextSplit
from harness.data.windows import Cut, Window, split
from harness.errors import DataError, closest

# A matrix of similarities is kept whole.
MOST_TEXTS = 4_096


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        origin: the file or dataset that it is of, as the spec names it.
        place: where it lies in that, as a sentence says it: `line 7`.
        fields: texts by key or column; numbers as texts.
    """

    origin: str
    place: str
    fields: Mapping[str, str]

    @property
    def where(self) -> str:
        """Both together, for a sentence on something that is wrong with it."""
        return f"{self.origin}, {self.place}"


class Records(Data):
    """Records of text. With `label`, texts to classify; with `other` and `score`, pairs and how alike they are.

    With neither, documents for a language model, which are cut into windows.
    """

    text: str = Field(default="text", min_length=1, description="the key or column of the text")
    label: str | None = Field(default=None, min_length=1, description="the key or column of the label")
    other: str | None = Field(default=None, min_length=1, description="the key or column of a pair's second text")
    score: str | None = Field(default=None, min_length=1, description="the key or column of a pair's similarity")
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=2)] | None = Field(
        default=None, description="labels in the order of the model's outputs; sorted if left out, numbers by value"
    )
    window: Window = Field(default=512, description="tokens that a language model reads at once")
    stride: int | None = Field(
        default=None, ge=1, description="tokens from one window to the next of a long document; no overlap if left out"
    )
    windows: int | None = Field(
        default=None, ge=2, description="windows to evaluate a language model on, the first; all if left out"
    )
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm", "sentence-similarity", "text-classification"})
    texts: ClassVar[bool] = True

    @property
    def most(self) -> int | None:
        """Windows."""
        return self.windows

    @model_validator(mode="after")
    def _one_kind(self) -> Records:
        if (self.label and self.score) or (self.score is None) != (self.other is None):
            raise ValueError(
                "give `label`, or `other` and `score`, or neither: what is known of a text decides what it is for"
            )
        return self

    @property
    def served(self) -> frozenset[str]:
        """The one task that what is known of the texts is for."""
        known = {"text-classification": self.label, "sentence-similarity": self.score}
        return frozenset([next((task for task, key in known.items() if key is not None), "causal-lm")])

    @property
    def wanted(self) -> list[str]:
        """The keys or columns that are read."""
        return [key for key in (self.text, self.label, self.other, self.score) if key is not None]

    def said(self, record: Record) -> list[str]:
        """The texts of a record, the first and of a pair the second too, without the white space around them."""
        return [record.fields[key].strip() for key in (self.text, self.other) if key is not None]

    def demand(self, record: Record) -> None:
        """Hold a record to what is read of it.

        Raises:
            DataError: nothing stands under one of the keys; the sentence names the closest.
        """
        for key in self.wanted:
            if not record.fields.get(key, "").strip():
                near = closest(key, record.fields)
                hint = f"; did you mean {near!r}?" if near and near != key else ""
                raise DataError(f"{record.where}: nothing under {key!r}{hint}")

    def dataset(self, evaluated: Sequence[Record], trained: Sequence[Record], known: Sequence[str] = ()) -> Dataset:
        """The splits that these records make.

        Args:
            evaluated: to evaluate on.
            trained: to calibrate and train on.
            known: the classes in the data's own order, where it has one.
        """
        if self.label is None and self.score is None:
            evaluation, rest = (
                [(record.place, record.fields[self.text]) for record in part] for part in (evaluated, trained)
            )
            return split(evaluation, rest, self.calibration, Cut(self.window, self.stride, self.windows))
        if self.label is None:
            return Dataset(self._pairs(_mixed(trained)[: self.calibration]), self._pairs(evaluated))
        found = [record.fields[self.label] for record in (*evaluated, *trained)]
        named = self.classes or tuple(known)
        # Classes that are named say themselves how labels are written.
        meant: dict[str, str] = {} if named else meanings(found)
        classes = named or in_order(meant.values())
        return Dataset(
            self._labelled(_mixed(trained)[: self.calibration], classes, meant),
            self._labelled(evaluated, classes, meant),
            self._labelled(trained, classes, meant),
            classes,
        )

    def _labelled(self, records: Sequence[Record], classes: tuple[str, ...], meant: Mapping[str, str]) -> TextSplit:
        import torch

        assert self.label is not None
        labels = [meant.get(record.fields[self.label], record.fields[self.label]) for record in records]
        for record, label in zip(records, labels, strict=True):
            if label not in classes:
                hint = f"; did you mean {near!r}?" if (near := closest(label, classes)) else ""
                raise DataError(f"{record.where}: the label {label!r} is none of {listed(classes)}{hint}")
        targets = torch.tensor([classes.index(label) for label in labels], dtype=torch.int64)
        return TextSplit(
            [record.fields[self.text] for record in records], targets, [record.place for record in records]
        )

    def _pairs(self, records: Sequence[Record]) -> TextSplit:
        """Every text once; targets are rows of the matrix of similarities, NaN where none is given."""
        import torch
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        assert self.other is not None
        assert self.score is not None
        places: dict[str, str] = {}
        for record in records:
            places.setdefault(record.fields[self.text], f"text of {record.place}")
            places.setdefault(record.fields[self.other], f"other text of {record.place}")
        texts = list(places)
        if len(texts) > MOST_TEXTS:
            raise DataError(f"{len(texts):,} different texts are more than the {MOST_TEXTS:,} whose pairs can be held")
        row = {text: index for index, text in enumerate(texts)}
        human = np.full((len(texts), len(texts)), np.nan, dtype=np.float32)
        for record in records:
            try:
                score = float(record.fields[self.score])
            except ValueError as error:
                raise DataError(f"{record.where}: the score {record.fields[self.score]!r} is no number") from error
            one, other = row[record.fields[self.text]], row[record.fields[self.other]]
            human[one, other] = human[other, one] = score
        # Pairs that share no text are independent; where all hang together, the texts are what was sampled.
        count, component = connected_components(csr_array(np.isfinite(human)), directed=False)
        units = component if count > 1 else None
        names = [f"{places[text]}, {text[:40]}" for text in texts]
        return TextSplit(texts, torch.from_numpy(human), names, units)


def _mixed(records: Sequence[Record]) -> list[Record]:
    """By a hash of what they hold: the first of a file that is sorted by class are all of one."""
    return sorted(records, key=lambda record: hashlib.sha256("\0".join(record.fields.values()).encode()).digest())
