"""Ranked detections of both models, for mean average precision."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.measurement.base import MEASUREMENTS, Array, Base, Sampled
from harness.measurement.swing import of_ranking
from harness.statistics import FloatArray, Interval, statistic_difference

# Recalls at which COCO reads the precision.
RECALLS = np.linspace(0.0, 1.0, 101)
# A weighted recall is a quotient of sums: this much off is rounding.
ROUNDING = 1e-7
# Each takes tens of milliseconds; the 95 % quantile of so many is known to 0.07 standard deviations.
RESAMPLES = 1000


class Ranking(BaseModel):
    """One model's detections, by class, and within a class from the surest to the least sure.

    Attributes:
        images: shape (detections,), the image that each was made on.
        labels: shape (detections,), the class that each names; ascending.
        hits: shape (detections,), at which overlaps it found an object: a bit each, the smallest first.
        ignored: shape (detections,), at which it counts neither way, as it lies on a crowd: a bit each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    images: Array
    labels: Array
    hits: Array
    ignored: Array


@MEASUREMENTS.register
class AveragePrecision(Sampled):
    """Mean over classes and overlaps of the area under the precision-recall curve, as COCO defines it.

    T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, with the evaluation code that is part of it:
    the precision at a recall is the best at that or any higher one, read at 101 recalls. What was found is decided once
    for each image; a resample only weighs the images anew.

    Attributes:
        overlaps: at how many a detection is judged.
        positives: shape (images, classes), the objects to be found.
        ranking_reference, ranking: the float model's detections, and the compressed one's.
    """

    kind: Literal["average-precision"] = "average-precision"
    overlaps: int
    positives: Array
    ranking_reference: Ranking
    ranking: Ranking

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return float(self._mean(self.ranking, self._ones)[0])

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return float(self._mean(self.ranking_reference, self._ones)[0])

    @property
    def share(self) -> bool:
        """An average of shares."""
        return True

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of images on which the compressed model finds fewer objects, at the least overlap."""
        return np.flatnonzero(self._found(self.ranking_reference) > self._found(self.ranking))

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of images on which the compressed model finds more objects, at the least overlap."""
        return np.flatnonzero(self._found(self.ranking_reference) < self._found(self.ranking))

    @property
    def alike(self) -> bool:
        """Whether both rankings are the same."""
        return all(
            np.array_equal(getattr(self.ranking_reference, name), getattr(self.ranking, name))
            for name in Ranking.model_fields
        )

    def _found(self, ranking: Ranking) -> np.ndarray[Any, Any]:
        return np.bincount(ranking.images[ranking.hits & 1 == 1], minlength=len(self.positives))

    def against(self, earlier: Base) -> AveragePrecision | None:
        """Both runs' detections on the same images."""
        if not isinstance(earlier, AveragePrecision) or earlier.data != self.data:
            return None
        # Which classes without an object have a column depends on what the models of a run named; none of them counts.
        if len(earlier.positives) != len(self.positives) or earlier.overlaps != self.overlaps:
            return None
        return self.model_copy(update={"ranking_reference": earlier.ranking})

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, by a bootstrap over sampling units."""
        _, owner = np.unique(self.units, return_inverse=True)

        def both(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
            spread = weights[:, owner]
            return self._mean(self.ranking_reference, spread), self._mean(self.ranking, spread)

        multiplicity = np.ones(self.n, dtype=np.int64)
        return statistic_difference(both, multiplicity, confidence, swing=self.swing, resamples=RESAMPLES)

    @property
    def swing(self) -> tuple[float, float]:
        """How far a unit that the compressed model loses moves the figure, and one that it wins."""
        _, owner = np.unique(self.units, return_inverse=True)
        moved = of_ranking(self.positives[:, self.positives.any(axis=0)], owner)
        return moved, moved

    @property
    def _ones(self) -> FloatArray:
        return np.ones((1, len(self.positives)))

    def _mean(self, ranking: Ranking, weights: FloatArray) -> FloatArray:
        """The figure for each row of image weights.

        Args:
            ranking: of one model.
            weights: shape (rows, images).

        Returns:
            Shape (rows,); the mean over the classes that have an object.
        """
        present = np.flatnonzero(self.positives.any(axis=0))
        total = np.zeros(len(weights))
        for label in present:
            first, last = np.searchsorted(ranking.labels, [label, label + 1])
            objects = weights @ self.positives[:, label].astype(np.float64)
            total += _areas(
                ranking.images[first:last], ranking.hits[first:last], ranking.ignored[first:last],
                objects, weights, self.overlaps,
            )  # fmt: skip
        mean: FloatArray = total / (max(len(present), 1) * self.overlaps)
        return mean


def _areas(
    images: np.ndarray[Any, Any],
    hits: np.ndarray[Any, Any],
    ignored: np.ndarray[Any, Any],
    objects: FloatArray,
    weights: FloatArray,
    overlaps: int,
) -> FloatArray:
    """The sum over overlaps of one class's average precisions, for each row of weights: shape (rows,)."""
    # Imported here: what reads a report has no need of it.
    from scipy.sparse import csr_array

    total = np.zeros(len(weights))
    whole = bool((weights == 1).all())
    for bit in range(overlaps):
        counted = (ignored >> bit) & 1 == 0
        origin, found = images[counted], np.flatnonzero((hits[counted] >> bit) & 1)
        # Between two hits precision only falls, so its peaks are at hits: detections are summed from one to the next.
        leads = np.searchsorted(found, np.arange(len(origin)))
        kept = leads < len(found)
        if not kept.any():
            continue
        shape = (len(found), weights.shape[1])
        steps = csr_array((np.ones(kept.sum()), (leads[kept], origin[kept])), shape=shape)
        made = np.cumsum(steps @ weights.T, axis=0)
        right = np.cumsum(weights.T[origin[found]], axis=0)
        best = np.maximum.accumulate((right / made)[::-1], axis=0)[::-1]
        recall = right / objects
        # Whole counts are compared as COCO's own code compares them.
        read = np.searchsorted(RECALLS, recall, side="right") if whole else _read(recall)
        total += (best * np.diff(read, axis=0, prepend=0)).sum(axis=0)
    areas: FloatArray = total / len(RECALLS)
    return areas


def _read(recall: FloatArray) -> np.ndarray[Any, Any]:
    """How many of the 101 recalls are reached."""
    return np.floor(recall * (len(RECALLS) - 1) + ROUNDING).astype(np.int64) + 1
