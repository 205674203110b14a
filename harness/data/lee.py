"""Fifty news texts whose similarity people judged, in pairs.

M. D. Lee, B. Pincombe, M. Welsh, "An empirical evaluation of models of text document similarity", 2005. The texts come
with gensim, and so do 300 others of the same kind, to calibrate on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.text import TextSplit
from harness.packaged import packaged

TEXTS, HUMAN, BACKGROUND = "lee.cor", "similarities0-1.txt", "lee_background.cor"


@DATA.register
class Lee(Data):
    """50 texts of 51 to 126 words, and how alike people find each of the 1,225 pairs (0 to 1); comes with gensim."""

    source: Literal["lee"] = "lee"
    calibration: int = Field(default=128, ge=1, le=300, description="calibration texts, taken from 300 others")
    tasks: ClassVar[frozenset[str]] = frozenset({"sentence-similarity"})
    texts: ClassVar[bool] = True

    def load(self, root: Path) -> Dataset:
        """Evaluation targets are rows of a matrix, shape (50, 50): the similarity to every text, NaN to itself."""
        import torch

        texts, others = (_file(name).read_text(encoding="latin-1").splitlines() for name in (TEXTS, BACKGROUND))
        upper = np.triu(np.loadtxt(_file(HUMAN)), 1)
        human = upper + upper.T
        np.fill_diagonal(human, np.nan)
        unknown = torch.full((self.calibration, len(texts)), torch.nan)
        return Dataset(
            calibration=TextSplit(others[: self.calibration], unknown),
            evaluation=TextSplit(
                texts, torch.from_numpy(human.astype(np.float32)), [f"text {index}" for index in range(len(texts))]
            ),
        )

    def fingerprint(self, root: Path) -> str:
        """The sha256 over the three files."""
        digest = hashlib.sha256()
        for name in (TEXTS, HUMAN, BACKGROUND):
            digest.update(_file(name).read_bytes())
        return digest.hexdigest()


def _file(name: str) -> Path:
    return packaged("gensim", f"test/test_data/{name}")
