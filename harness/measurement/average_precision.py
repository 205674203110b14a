"""Ranked detections of both models, for mean average precision."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.measurement.base import COMPRESSED, FLOAT, MEASUREMENTS, UNIT, Array, Base
from harness.measurement.object_lines import ObjectLines
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
class AveragePrecision(ObjectLines):
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

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Objects, those that were found at the least overlap, and ranked detections: a line an image and class.

        A detection is told by its place among all of its model and class, the surest first, and by a sign for each
        overlap, the least first: it found an object (+), it found none (-), or it counts neither way (o). So `12:++-`
        is the twelfth of its class, and found an object at the first two of three overlaps. Of a class, what comes
        after the last hit moves no figure and is not kept.
        """
        images, classes = self._lines
        lines = list(zip(images.tolist(), classes.tolist(), strict=True))
        sides = {FLOAT: self.ranking_reference, COMPRESSED: self.ranking}
        found = {name: _hits(side) for name, side in sides.items()}
        ranked = {name: _ranked(side, self.overlaps) for name, side in sides.items()}
        return {
            UNIT: self.units[images],
            "class": classes,
            "objects": self._objects[images, classes],
            **{f"{name}_found": np.array([each[line] for line in lines], dtype=int) for name, each in found.items()},
            **{
                f"{name}_ranked": np.array([" ".join(each[line]) for line in lines], dtype=object)
                for name, each in ranked.items()
            },
        }

    @property
    def _counted(self) -> np.ndarray[Any, Any]:
        counted: np.ndarray[Any, Any] = self._objects > 0
        for side in (self.ranking_reference, self.ranking):
            counted[side.images, side.labels] = True
        return counted

    @property
    def _objects(self) -> np.ndarray[Any, Any]:
        """The objects to be found, with a column for every class that is ranked."""
        sides = (self.ranking_reference, self.ranking)
        more = max(int(side.labels.max(initial=-1)) + 1 for side in sides) - self.positives.shape[1]
        return np.pad(self.positives, ((0, 0), (0, max(0, more))))

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


def _hits(ranking: Ranking) -> Counter[tuple[int, int]]:
    """How many objects were found on each image of each class, at the least overlap."""
    hit = ranking.hits & 1 == 1
    return Counter(zip(ranking.images[hit].tolist(), ranking.labels[hit].tolist(), strict=True))


def _ranked(ranking: Ranking, overlaps: int) -> defaultdict[tuple[int, int], list[str]]:
    """The detections of each image and class, as a cell of a table tells them."""
    told: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    places: Counter[int] = Counter()
    columns = (ranking.images, ranking.labels, ranking.hits, ranking.ignored)
    for image, label, hits, ignored in zip(*(column.tolist() for column in columns), strict=True):
        places[label] += 1
        signs = ("+" if hits >> bit & 1 else "o" if ignored >> bit & 1 else "-" for bit in range(overlaps))
        told[image, label].append(f"{places[label]}:{''.join(signs)}")
    return told


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
