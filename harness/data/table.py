"""Data `jsonl` and `csv`: your own texts, one record a line: with a label, in pairs with a score, or by themselves."""

from __future__ import annotations

import csv
import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.data.base import DATA, Data, Dataset
from harness.data.text import TextSplit
from harness.data.windows import Cut, Window, split
from harness.errors import DataError, closest

# A matrix of similarities is kept whole.
MOST_TEXTS = 4_096
Record = tuple[int, dict[str, str]]


class Table(Data):
    """Records of text. With `label`, texts to classify; with `other` and `score`, pairs and how alike they are.

    With neither, documents for a language model, which are cut into windows.
    """

    path: str = Field(min_length=1, description="the file; UTF-8")
    training: str | None = Field(
        default=None,
        min_length=1,
        description="a second file to train and calibrate on; else `held_out` of `path` is evaluated on, by a hash of "
        "each text, and the rest trained on",
    )
    text: str = Field(default="text", min_length=1, description="the key or column of the text")
    label: str | None = Field(default=None, min_length=1, description="the key or column of the label")
    other: str | None = Field(default=None, min_length=1, description="the key or column of a pair's second text")
    score: str | None = Field(default=None, min_length=1, description="the key or column of a pair's similarity")
    classes: Annotated[tuple[str, ...], Field(strict=False, min_length=2)] | None = Field(
        default=None, description="labels in the order of the model's outputs; sorted if left out"
    )
    held_out: float = Field(
        default=0.5, gt=0, lt=1, description="share of `path` that is evaluated on, without `training`"
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

    @model_validator(mode="after")
    def _one_kind(self) -> Table:
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

    @abstractmethod
    def records(self, path: Path) -> Iterator[Record]:
        """Line number and fields of each record."""

    def load(self, root: Path) -> Dataset:
        """The splits."""
        evaluated = self._read(root / self.path)
        if self.training is not None:
            trained = self._read(root / self.training)
        else:
            parts: tuple[list[Record], list[Record]] = ([], [])
            for record in evaluated:
                share = int.from_bytes(hashlib.sha256(record[1][self.text].strip().encode()).digest()[:4]) / 2**32
                parts[share >= self.held_out].append(record)
            evaluated, trained = parts
        if self.label is None and self.score is None:
            evaluation, rest = (
                [(f"line {line}", record[self.text]) for line, record in part] for part in (evaluated, trained)
            )
            return split(evaluation, rest, self.calibration, Cut(self.window, self.stride, self.windows))
        if self.label is None:
            return Dataset(self._pairs(trained[: self.calibration]), self._pairs(evaluated))
        classes = self.classes or tuple(sorted({record[self.label] for _, record in [*evaluated, *trained]}))
        return Dataset(
            self._labelled(trained[: self.calibration], classes),
            self._labelled(evaluated, classes),
            self._labelled(trained, classes),
            classes,
        )

    def _read(self, path: Path) -> list[Record]:
        if not path.is_file():
            raise DataError(f"no file at {path} (relative paths start at the directory that holds specs/)")
        wanted = [key for key in (self.text, self.label, self.other, self.score) if key is not None]
        found: list[Record] = []
        try:
            for line, record in self.records(path):
                for key in wanted:
                    if not record.get(key, "").strip():
                        near = closest(key, record)
                        hint = f"; did you mean {near!r}?" if near and near != key else ""
                        raise DataError(f"{path.name}, line {line}: nothing under {key!r}{hint}")
                found.append((line, record))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path.name} cannot be read: {error}") from error
        if not found:
            raise DataError(f"{path.name} holds no record")
        return found

    def _labelled(self, records: list[Record], classes: tuple[str, ...]) -> TextSplit:
        import torch

        assert self.label is not None
        for line, record in records:
            if record[self.label] not in classes:
                raise DataError(f"line {line}: the label {record[self.label]!r} is none of {', '.join(classes)}")
        targets = torch.tensor([classes.index(record[self.label]) for _, record in records], dtype=torch.int64)
        return TextSplit([record[self.text] for _, record in records], targets, [f"line {line}" for line, _ in records])

    def _pairs(self, records: list[Record]) -> TextSplit:
        """Every text once; targets are rows of the matrix of similarities, NaN where none is given."""
        import torch
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        assert self.other is not None
        assert self.score is not None
        lines: dict[str, int] = {}
        for line, record in records:
            lines.setdefault(record[self.text], line)
            lines.setdefault(record[self.other], line)
        texts = list(lines)
        if len(texts) > MOST_TEXTS:
            raise DataError(f"{len(texts):,} different texts are more than the {MOST_TEXTS:,} whose pairs can be held")
        place = {text: index for index, text in enumerate(texts)}
        human = np.full((len(texts), len(texts)), np.nan, dtype=np.float32)
        for line, record in records:
            try:
                score = float(record[self.score])
            except ValueError as error:
                raise DataError(f"line {line}: the score {record[self.score]!r} is no number") from error
            one, other = place[record[self.text]], place[record[self.other]]
            human[one, other] = human[other, one] = score
        # Pairs that share no text are independent; where all hang together, the texts are what was sampled.
        count, component = connected_components(csr_array(np.isfinite(human)), directed=False)
        units = component if count > 1 else None
        return TextSplit(
            texts, torch.from_numpy(human), [f"text of line {lines[text]}, {text[:40]}" for text in texts], units
        )

    def fingerprint(self, root: Path) -> str:
        """The bytes of the files."""
        digest = hashlib.sha256()
        for name in (self.path, self.training):
            if name is not None:
                try:
                    digest.update((root / name).read_bytes())
                except OSError as error:
                    raise DataError(f"{name} cannot be read: {error.strerror}") from error
        return digest.hexdigest()


@DATA.register
class Jsonl(Table):
    """One JSON object a line."""

    source: Literal["jsonl"] = "jsonl"

    def records(self, path: Path) -> Iterator[Record]:
        """The objects; numbers become text."""
        with path.open(encoding="utf-8") as stream:
            for line, text in enumerate(stream, 1):
                if not text.strip():
                    continue
                try:
                    record = json.loads(text)
                except ValueError as error:
                    raise DataError(f"{path.name}, line {line}: no JSON ({error})") from error
                if not isinstance(record, dict):
                    raise DataError(f"{path.name}, line {line}: a JSON object was expected")
                yield line, {str(key): "" if value is None else str(value) for key, value in record.items()}


@DATA.register
class Csv(Table):
    """A table with a header line."""

    source: Literal["csv"] = "csv"

    def records(self, path: Path) -> Iterator[Record]:
        """The rows, by column name."""
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                yield reader.line_num, {str(key): value or "" for key, value in row.items() if key is not None}
