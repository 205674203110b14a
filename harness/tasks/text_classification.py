"""Text classification: one label a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.tasks.base import TASKS
from harness.tasks.classification import Classification


@TASKS.register
class TextClassification(Classification):
    """Which of several classes a text belongs to; models return logits of shape (batch, classes)."""

    task: Literal["text-classification"] = "text-classification"
    also: ClassVar[Mapping[str, str]] = {"sentiment-analysis": ""}
    samples: ClassVar[str] = "texts"
    head: ClassVar[str | None] = "sequence-classification"
