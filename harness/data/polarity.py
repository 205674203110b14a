"""Sentences of film reviews, half of them favourable.

B. Pang, L. Lee, "Seeing stars: Exploiting class relationships for sentiment categorization with respect to rating
scales", 2005; 200 of its sentences come with gensim. What to train and calibrate on comes from `short-texts`, which is
about other things.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

from harness.data.base import DATA, Data, Dataset
from harness.data.short_texts import ShortTexts
from harness.data.text import TextSplit
from harness.packaged import packaged

FILE = "test/test_data/pang_lee_polarity.cor"
CLASSES = ("negative", "positive")
# The labels of the file, and those of `short-texts`, by class.
LABELS, SHORT_TEXTS = ("__label__neg", "__label__pos"), {0: 0, 2: 1}


@DATA.register
class Polarity(Data):
    """200 sentences of film reviews, negative or positive; calibration and training on such `short-texts`."""

    source: Literal["polarity"] = "polarity"
    tasks: ClassVar[frozenset[str]] = frozenset({"text-classification"})
    texts: ClassVar[bool] = True

    def load(self, root: Path) -> Dataset:
        """The splits: every sentence is held out."""
        import torch

        others = ShortTexts().load(root).train
        assert isinstance(others, TextSplit)
        pairs = zip(others.texts, others.targets.tolist(), strict=True)
        kept = [(text, SHORT_TEXTS[label]) for text, label in pairs if label in SHORT_TEXTS]
        rows = [line.split(" ", 1) for line in _file().read_text(encoding="latin-1").splitlines() if line.strip()]
        return Dataset(
            calibration=_split(kept[: self.calibration]),
            evaluation=TextSplit(
                [text.strip() for _, text in rows],
                torch.tensor([LABELS.index(label) for label, _ in rows]),
                [f"sentence {index}" for index in range(1, len(rows) + 1)],
            ),
            train=_split(kept),
            classes=CLASSES,
        )

    def evaluated(self, root: Path) -> int:
        """200 sentences."""
        return 200

    def fingerprint(self, root: Path) -> str:
        """The sha256 of both files."""
        return hashlib.sha256(_file().read_bytes()).hexdigest() + ShortTexts().fingerprint(root)


def _split(rows: list[tuple[str, int]]) -> TextSplit:
    import torch

    return TextSplit([text for text, _ in rows], torch.tensor([label for _, label in rows]))


def _file() -> Path:
    return packaged("gensim", FILE)
