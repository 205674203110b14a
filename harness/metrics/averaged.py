"""Precision, recall and F1, averaged over classes: of labels, or of detections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Finds, Labels
from harness.measurement.swing import STATISTICS, Statistic, of_counts, of_labels
from harness.metrics.base import Metric
from harness.metrics.detections import Detected
from harness.metrics.ranking import Ranked, labels
from harness.tasks.base import Evaluation, Task
from harness.tasks.detections import finds, objects

# What such a share can be made of, and how.
_MADE_OF: tuple[tuple[type[Metric], Callable[[Evaluation, Statistic], Labels | Finds]], ...] = (
    (Ranked, labels),
    (Detected, finds),
)


class Averaged(Ranked):
    """A share of each class, averaged over classes.

    Of detections: those of a score of 0.25 or more, each right where it overlaps a true box of its class by half.
    """

    averaged: ClassVar[bool] = True

    def swing(self, targets: np.ndarray[Any, Any], units: np.ndarray[Any, Any]) -> float:
        """How far a unit of the rarest class moves the average."""
        _, owner = np.unique(units, return_inverse=True)
        if targets.ndim > 1:
            # Of precision and F1 too: a model without fault makes as many detections as there are objects.
            return max(1.0, of_counts(objects(targets), owner))
        statistic = next(one for one in STATISTICS if one == self.metric)
        return of_labels(statistic, targets, targets, owner)

    @classmethod
    def suits(cls, task: type[Task]) -> bool:
        """Whether a task gives ranked classes or detections."""
        return any(kind.suits(task) for kind, _ in _MADE_OF)


def averaged(evaluation: Evaluation, statistic: Statistic) -> Labels | Finds:
    """What both models named: a label a sample, or boxes where they answer with boxes.

    Raises:
        Unmeasurable: the float model is no better than chance, or finds nothing.
    """
    for kind, made in _MADE_OF:
        if kind.reads <= evaluation.reference.keys():
            return made(evaluation, statistic)
    raise Unmeasurable(f"no class was named in what the models answered: {', '.join(evaluation.reference)}")
