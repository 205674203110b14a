"""Data `datasets`: texts on the Hugging Face hub, with a label, in pairs with a score, or by themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.data.base import DATA, Dataset
from harness.data.records import Record, Records
from harness.errors import DataError, SourceError

# Where documents add up to far more than windows are cut of, the rest is not read.
CHARACTERS_A_TOKEN = 16
INSTEAD = "Give the texts as a file instead: `source: text`, `jsonl` or `csv`"


@DATA.register
class Datasets(Records):
    """Texts of a dataset on the Hugging Face hub, at one commit of it: from the cache of `datasets`, else fetched.

    With `label`, texts to classify; with `other` and `score`, pairs and how alike they are; with neither, documents
    for a language model. Without a network, save the texts as a file for `source: text`, `jsonl` or `csv`.
    """

    source: Literal["datasets"] = "datasets"
    also: ClassVar[Mapping[str, str]] = {"huggingface": "", "hub": ""}
    name: str = Field(min_length=1, description="on the hub: `owner/name`")
    revision: str = Field(
        pattern=r"^[0-9a-f]{40}$", description="the commit, 40 digits: what a branch holds may change under a baseline"
    )
    config: str | None = Field(default=None, description="the dataset's configuration, where it has several")
    evaluation: str = Field(default="test", min_length=1, description="the split to evaluate on")
    training: str = Field(default="train", min_length=1, description="the split to calibrate and train on")
    calibration: int = Field(
        default=32, ge=1, description="windows, texts or pairs to calibrate on, of the training split"
    )
    windows: int | None = Field(
        default=128, ge=2, description="windows to evaluate a language model on, the first; `null` for all"
    )

    def load(self, root: Path) -> Dataset:
        """The splits: what of the training split is evaluated on is left out of it, for nobody can mend that data.

        Raises:
            DataError: all of it is.
        """
        wanted = CHARACTERS_A_TOKEN * self.window
        evaluated, known = self._read(self.evaluation, wanted * self.windows if self.windows else math.inf)
        trained, _ = self._read(self.training, wanted * self.calibration * 4)
        held_out = {text for record in evaluated for text in self.said(record)}
        kept = [record for record in trained if held_out.isdisjoint(self.said(record))]
        shared = f"{self.name}: {len(trained) - len(kept):,} of {len(trained):,} rows of {self.training!r}"
        if trained and not kept:
            raise DataError(
                f"{shared} hold texts of {self.evaluation!r} too, and none is left to calibrate on: name another split "
                "as `training:`"
            )
        loaded = self.dataset(evaluated, kept, known)
        if len(kept) == len(trained):
            return loaded
        return replace(loaded, notes=(f"{shared} hold texts of {self.evaluation!r} too and are left out of training",))

    def fingerprint(self, root: Path) -> str:
        """Nothing outside the options: the commit is one of them."""
        return self.revision

    def _read(self, part: str, characters: float) -> tuple[list[Record], list[str]]:
        """The rows of a split, of documents until there are so many characters; and the names of the classes."""
        table = self._table(part)
        for key in self.wanted:
            if key not in table.column_names:
                raise DataError(f"{self.name} has no column {key!r}; it has {', '.join(table.column_names)}")
        names: list[str] = list(getattr(table.features[self.label], "names", ())) if self.label else []
        documents = self.label is None and self.score is None
        found: list[Record] = []
        for row, values in enumerate(zip(*(table[key] for key in self.wanted), strict=True)):
            place, fields = f"{part} row {row}", dict(zip(self.wanted, values, strict=True))
            for key in self.wanted:
                if key in (self.text, self.other) and not isinstance(fields[key], str):
                    raise DataError(f"{self.name}: {place} holds a {type(fields[key]).__name__} under {key!r}")
            if documents and not fields[self.text].strip():
                continue
            if self.label and names:
                # A split without labels has -1 in their place.
                number = fields[self.label]
                fields[self.label] = names[number] if number is not None and number >= 0 else None
            said = {key: "" if value is None else str(value) for key, value in fields.items()}
            found.append(Record(self.name, place, said))
            self.demand(found[-1])
            characters -= len(fields[self.text])
            if documents and characters <= 0:
                break
        return found, names

    def _table(self, part: str) -> Any:
        """The split, from the cache where this commit is there."""
        from datasets import load_dataset_builder

        from harness.sources.hub import fetched

        def fetch() -> Any:
            found = load_dataset_builder(self.name, self.config, revision=self.revision)
            # Where the hub does not have the commit, the library takes the last one that it prepared.
            if found.hash != self.revision:
                raise DataError(f"it is not there at the commit {self.revision}")
            found.download_and_prepare()
            return found

        try:
            prepared = self._cached() or fetched(fetch, f"the dataset {self.name}", INSTEAD)
            return prepared.as_dataset(split=part)
        except SourceError as error:
            raise DataError(str(error)) from error
        except (ValueError, OSError) as error:
            raise DataError(f"{self.name} cannot be read: {error}") from error

    def _cached(self) -> Any:
        """The dataset as an earlier run prepared it; None where none did, or several configurations could be meant."""
        from datasets import config
        from datasets.naming import camelcase_to_snakecase
        from datasets.packaged_modules.cache.cache import Cache

        *owner, name = self.name.split("/")
        folder = Path(config.HF_DATASETS_CACHE).expanduser() / "___".join([*owner, camelcase_to_snakecase(name)])
        found = [path.parent for path in folder.glob(f"{self.config or '*'}/*/{self.revision}/dataset_info.json")]
        if len(found) != 1:
            return None
        configuration, version, commit = found[0].parts[-3:]
        return Cache(dataset_name=name, repo_id=self.name, config_name=configuration, version=version, hash=commit)
