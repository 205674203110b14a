"""Objects that both models found, for precision, recall and F1 of detections."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from harness.measurement.base import MEASUREMENTS, UNIT, Array, Base
from harness.measurement.object_lines import ObjectLines
from harness.measurement.swing import Statistic, divided, of_counts
from harness.statistics import FloatArray, Interval, statistic_difference


@MEASUREMENTS.register
class Finds(ObjectLines):
    """Counts an image and class, averaged over the classes that have an object (macro).

    Attributes:
        statistic: which of the three the figure is.
        positives: shape (images, classes), the objects to be found.
        hits_reference, hits: shape (images, classes), the objects that each model found.
        made_reference, made: shape (images, classes), the detections that each model made.
    """

    kind: Literal["finds"] = "finds"
    statistic: Statistic
    positives: Array
    hits_reference: Array
    made_reference: Array
    hits: Array
    made: Array

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return float(self._macro(self.hits, self.made, np.ones((1, len(self.positives))))[0])

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return float(self._macro(self.hits_reference, self.made_reference, np.ones((1, len(self.positives))))[0])

    @property
    def share(self) -> bool:
        """An average of shares."""
        return True

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of images on which the compressed model finds fewer objects than the float one."""
        return np.flatnonzero(self.hits_reference.sum(axis=1) > self.hits.sum(axis=1))

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of images on which the compressed model finds more objects than the float one."""
        return np.flatnonzero(self.hits_reference.sum(axis=1) < self.hits.sum(axis=1))

    @property
    def alike(self) -> bool:
        """Whether both models found, and made up, as much on every image."""
        return bool(np.array_equal(self.hits_reference, self.hits) and np.array_equal(self.made_reference, self.made))

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Counts, a line an image and class; their sums make precision, recall and F1 of each class with an object."""
        images, classes = self._lines
        counts = {
            "objects": self.positives,
            "float_found": self.hits_reference,
            "float_made": self.made_reference,
            "compressed_found": self.hits,
            "compressed_made": self.made,
        }
        told = {name: count[images, classes] for name, count in counts.items()}
        return {UNIT: self.units[images], "class": classes, **told}

    @property
    def _counted(self) -> np.ndarray[Any, Any]:
        # What was found was made.
        counted: np.ndarray[Any, Any] = (self.positives > 0) | (self.made_reference > 0) | (self.made > 0)
        return counted

    def against(self, earlier: Base) -> Finds | None:
        """Both runs' counts on the same images."""
        if not isinstance(earlier, Finds) or earlier.data != self.data or len(earlier.hits) != len(self.hits):
            return None
        # A run has columns up to the highest class that a model of it named, be there objects of it or none.
        classes = max(earlier.hits.shape[1], self.hits.shape[1])
        counts = {
            "positives": self.positives,
            "hits_reference": earlier.hits,
            "made_reference": earlier.made,
            "hits": self.hits,
            "made": self.made,
        }
        return self.model_copy(update={name: _widened(one, classes) for name, one in counts.items()})

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, by a bootstrap over sampling units."""
        _, owner = np.unique(self.units, return_inverse=True)

        def both(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
            spread = weights[:, owner]
            return (
                self._macro(self.hits_reference, self.made_reference, spread),
                self._macro(self.hits, self.made, spread),
            )

        multiplicity = np.ones(self.n, dtype=np.int64)
        return statistic_difference(both, multiplicity, confidence, swing=self.swing)

    @property
    def swing(self) -> tuple[float, float]:
        """How far a unit that the compressed model loses moves the figure, and one that it wins."""
        _, owner = np.unique(self.units, return_inverse=True)
        present = self.positives.any(axis=0)
        objects = self.positives[:, present].astype(np.float64)
        lost, won = (
            of_counts({"precision": made, "recall": objects, "f1": made + objects}[self.statistic], owner)
            for made in (self.made_reference[:, present], self.made[:, present])
        )
        return max(1.0, lost), max(1.0, won)

    def _macro(self, hits: np.ndarray[Any, Any], made: np.ndarray[Any, Any], weights: FloatArray) -> FloatArray:
        """The macro average for each row of image weights, shape (rows,)."""
        present = self.positives.any(axis=0)
        hit, named, objects = (weights @ one[:, present].astype(np.float64) for one in (hits, made, self.positives))
        part, whole = {"precision": (hit, named), "recall": (hit, objects), "f1": (2 * hit, named + objects)}[
            self.statistic
        ]
        shares: FloatArray = divided(part, whole)
        average: FloatArray = shares.mean(axis=1)
        return average


def _widened(counts: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    """Counts of more classes: nothing of those that are added."""
    return np.pad(counts, ((0, 0), (0, classes - counts.shape[1])))
