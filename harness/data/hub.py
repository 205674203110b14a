"""Data `datasets`: texts of a dataset on the Hugging Face hub, for a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.windows import Cut, Window, split
from harness.errors import DataError, SourceError

# Where the texts of a column add up to far more than windows are cut of, the rest is not read.
CHARACTERS_A_TOKEN = 16


@DATA.register
class Datasets(Data):
    """Texts of a dataset on the Hugging Face hub, at one commit of it.

    Without a network, save the texts as a file for `source: text`, `jsonl` or `csv`.
    """

    source: Literal["datasets"] = "datasets"
    also: ClassVar[Mapping[str, str]] = {"huggingface": "", "hub": ""}
    name: str = Field(min_length=1, description="on the hub: `owner/name`")
    revision: str = Field(
        pattern=r"^[0-9a-f]{40}$", description="the commit, 40 digits: what a branch holds may change under a baseline"
    )
    config: str | None = Field(default=None, description="the dataset's configuration, where it has several")
    text: str = Field(default="text", min_length=1, description="the column of the text")
    evaluation: str = Field(default="test", min_length=1, description="the split to evaluate on")
    training: str = Field(default="train", min_length=1, description="the split to calibrate and train on")
    calibration: int = Field(default=32, ge=1, description="windows to calibrate on, of the training split")
    window: Window = Field(default=512, description="tokens that the model reads at once")
    stride: int | None = Field(
        default=None, ge=1, description="tokens from one window to the next of a long text; no overlap if left out"
    )
    windows: int = Field(default=128, ge=2, description="windows to evaluate on, the first")
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm"})
    texts: ClassVar[bool] = True

    def load(self, root: Path) -> Dataset:
        """The splits."""
        wanted = CHARACTERS_A_TOKEN * self.window
        evaluated = self._documents(self.evaluation, wanted * self.windows)
        trained = self._documents(self.training, wanted * self.calibration * 4)
        return split(evaluated, trained, self.calibration, Cut(self.window, self.stride, self.windows))

    def fingerprint(self, root: Path) -> str:
        """Nothing outside the options: the commit is one of them."""
        return self.revision

    def _documents(self, part: str, characters: int) -> list[tuple[str, str]]:
        """Texts of a split until there are so many characters, each named by its row."""
        found: list[tuple[str, str]] = []
        for row, text in enumerate(self._column(part)):
            if not isinstance(text, str):
                raise DataError(f"{self.name}: row {row} of {part} holds a {type(text).__name__} under {self.text!r}")
            if text.strip():
                found.append((f"{part} row {row}", text))
                characters -= len(text)
            if characters <= 0:
                break
        return found

    def _column(self, part: str) -> Sequence[Any]:
        from datasets import load_dataset
        from huggingface_hub import constants

        from harness.sources.download import demand_network, no_stall

        try:
            demand_network(
                constants.ENDPOINT, f"the dataset {self.name}",
                "Give the texts as a file instead: `source: text`, `jsonl` or `csv`",
            )  # fmt: skip
        except SourceError as error:
            raise DataError(str(error)) from error
        try:
            with no_stall():
                table = load_dataset(self.name, self.config, split=part, revision=self.revision)
        except Exception as error:
            raise DataError(f"{self.name} could not be read from {constants.ENDPOINT}: {error}") from error
        if self.text not in table.column_names:
            raise DataError(f"{self.name} has no column {self.text!r}; it has {', '.join(table.column_names)}")
        column: Sequence[Any] = table[self.text]
        return column
