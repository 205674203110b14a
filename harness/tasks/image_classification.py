"""Image classification: one label an image."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.tasks.base import TASKS
from harness.tasks.classification import Classification


@TASKS.register
class ImageClassification(Classification):
    """Which of several classes an image belongs to; models return logits of shape (batch, classes)."""

    task: Literal["image-classification"] = "image-classification"
    samples: ClassVar[str] = "images"
    movable: ClassVar[bool] = True
