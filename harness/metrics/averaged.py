"""Precision, recall and F1, averaged over classes: of labels, or of detections."""

from __future__ import annotations

from typing import ClassVar

from harness.measurement import Finds, Labels
from harness.measurement.labels import Statistic
from harness.metrics.detections import finds
from harness.metrics.ranking import Ranked, labels
from harness.tasks.base import Evaluation


class Averaged(Ranked):
    """A share of each class, averaged over classes.

    Of detections: those of a score of 0.25 or more, each right where it overlaps a true box of its class by half.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset(
        {"image-classification", "text-classification", "object-detection"}
    )


def averaged(evaluation: Evaluation, statistic: Statistic) -> Labels | Finds:
    """What both models named: boxes where they answer with boxes, else a label a sample.

    Raises:
        Unmeasurable: the float model is no better than chance, or finds nothing.
    """
    return finds(evaluation, statistic) if "boxes" in evaluation.reference else labels(evaluation, statistic)
