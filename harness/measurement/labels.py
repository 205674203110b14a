"""Predicted labels of both models, for statistics of the whole set: macro precision, recall and F1."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from harness.measurement.base import (
    COMPRESSED,
    FLOAT,
    MEASUREMENTS,
    RIGHT_OR_WRONG,
    TARGET,
    UNIT,
    Array,
    Base,
    Sampled,
)
from harness.measurement.swing import Statistic, divided, of_labels
from harness.statistics import FloatArray, Interval, statistic_difference


@MEASUREMENTS.register
class Labels(Sampled):
    """Labels that both models gave to the same samples, averaged over classes (macro).

    The average is over the classes of the targets, for both models. A label outside them counts as wrong and adds no
    class. A class that a model never predicts has precision 0. So it is scikit-learn's score with
    ``labels=np.unique(targets), zero_division=0``.

    Attributes:
        statistic: which of the three the figure is.
        targets: shape (samples,), integers.
        labels_reference: shape (samples,), the float model's labels.
        labels: shape (samples,), the compressed model's labels.
    """

    kind: Literal["labels"] = "labels"
    statistic: Statistic
    targets: Array
    labels_reference: Array
    labels: Array

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return float(self._macro(self.labels, np.ones((1, len(self.targets))))[0])

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return float(self._macro(self.labels_reference, np.ones((1, len(self.targets))))[0])

    @property
    def share(self) -> bool:
        """All three are averages of shares."""
        return True

    @property
    def changed(self) -> tuple[str, str]:
        """A label is right or wrong."""
        return RIGHT_OR_WRONG

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the float model named right and the compressed one wrong."""
        return np.flatnonzero((self.labels_reference == self.targets) & (self.labels != self.targets))

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the compressed model named right and the float one wrong."""
        return np.flatnonzero((self.labels_reference != self.targets) & (self.labels == self.targets))

    @property
    def alike(self) -> bool:
        """Whether every label is the same; another wrong one is neither lost nor won."""
        return bool(np.array_equal(self.labels_reference, self.labels))

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Labels beside their target."""
        return {UNIT: self.units, TARGET: self.targets, FLOAT: self.labels_reference, COMPRESSED: self.labels}

    def against(self, earlier: Base) -> Labels | None:
        """Both runs' labels of the same samples."""
        if not isinstance(earlier, Labels) or earlier.data != self.data or earlier.labels.shape != self.labels.shape:
            return None
        return self.model_copy(update={"labels_reference": earlier.labels})

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, by a bootstrap over sampling units."""
        _, owner = np.unique(self.units, return_inverse=True)
        samples = np.stack([self.targets, self.labels_reference, self.labels], axis=1)
        if self.n == len(self.targets):
            # Samples with the same target and the same two labels cannot be told apart: far fewer kinds to weigh.
            kinds, owner, multiplicity = np.unique(samples, axis=0, return_inverse=True, return_counts=True)
            shared = self.model_copy(update=dict(zip(("targets", "labels_reference", "labels"), kinds.T, strict=True)))
            owner = np.arange(len(kinds))
        else:
            shared, multiplicity = self, np.ones(self.n, dtype=np.int64)

        def both(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
            spread = weights[:, owner]
            return shared._macro(shared.labels_reference, spread), shared._macro(shared.labels, spread)

        return statistic_difference(both, multiplicity, confidence, swing=self.swing)

    @property
    def swing(self) -> tuple[float, float]:
        """How far a unit that the compressed model loses moves the figure, and one that it wins."""
        _, owner = np.unique(self.units, return_inverse=True)
        lost, won = (
            of_labels(self.statistic, self.targets, one, owner) for one in (self.labels_reference, self.labels)
        )
        return lost, won

    def _macro(self, labels: np.ndarray[Any, Any], weights: FloatArray) -> FloatArray:
        """The macro average for each row of sample weights.

        Args:
            labels: shape (samples,).
            weights: shape (rows, samples).

        Returns:
            Shape (rows,).
        """
        # Of both models alike: of a class that only one of them names, the other's average would know nothing.
        classes = np.unique(self.targets)
        truth, named = (column[:, None] == classes for column in (self.targets, labels))
        hit, support, predicted = (weights @ mask.astype(np.float64) for mask in (truth & named, truth, named))
        precision, recall = (divided(hit, total) for total in (predicted, support))
        figures = {"precision": precision, "recall": recall, "f1": divided(2 * hit, predicted + support)}
        average: FloatArray = figures[self.statistic].mean(axis=1)
        return average
