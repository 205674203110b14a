"""Generated images of both models as a kernel distance sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from harness.measurement.base import COST_GAIN, MEASUREMENTS, UNIT, Array, Base, Sampled
from harness.statistics import ImageSet, Interval, distance_rise, kernel
from harness.statistics.kernel_distance import distance


@MEASUREMENTS.register
class Generated(Sampled):
    """Images that both models made of the same noise, against real ones, in a feature space.

    Of the real images only what the distance needs of them is kept.

    Attributes:
        features_reference, features: shape (images, features).
        real_reference, real: shape (images,), mean kernel of each image with the real ones.
        broken: shape (broken, features), of images as bad as they come.
        real_broken: shape (broken,), as `real`.
        constant: mean kernel of every two real images.
        data: fingerprint of the noise, the real images and the feature space.
    """

    kind: Literal["generated"] = "generated"
    features_reference: Array
    features: Array
    real_reference: Array
    real: Array
    broken: Array
    real_broken: Array
    constant: float

    @property
    def value(self) -> float:
        """The compressed model's distance."""
        return self._distances[1]

    @property
    def reference(self) -> float:
        """The float model's distance."""
        return self._distances[0]

    @property
    def plausible(self) -> float | None:
        """Half of the float model's distance, where that is one: unbiased, it may be below zero."""
        return COST_GAIN * self.reference if self.reference > 0 else None

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of images that raise the compressed model's distance above the float model's, the most first."""
        moved = self._shares(self.features, self.real) - self._shares(self.features_reference, self.real_reference)
        order = np.argsort(-moved, kind="stable")
        return np.asarray(order[moved[order] > 0])

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of images that lower it, the most first."""
        moved = self._shares(self.features, self.real) - self._shares(self.features_reference, self.real_reference)
        order = np.argsort(moved, kind="stable")
        return np.asarray(order[moved[order] < 0])

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Mean kernels of each image, a line a noise: with its model's other images, and with the real ones.

        The distance is the mean of the first, less twice that of the second, plus the mean kernel of the real images
        among themselves, which every line repeats. No image has a distance of its own.
        """
        return {
            UNIT: self.units,
            "float_with_others": self._with_others(self.features_reference),
            "float_with_real": self.real_reference,
            "compressed_with_others": self._with_others(self.features),
            "compressed_with_real": self.real,
            "real_with_others": np.full(len(self.units), self.constant),
        }

    def ids(self, names: Sequence[str]) -> list[str]:
        """The noise of each image."""
        # Kernels take a while: they are not computed to count lines.
        return list(names[: len(self.units)]) if len(self.units) <= len(names) else []

    def against(self, earlier: Base) -> Generated | None:
        """Both runs' images of the same noise."""
        if not isinstance(earlier, Generated) or earlier.data != self.data:
            return None
        if earlier.features.shape != self.features.shape:
            return None
        return self.model_copy(update={"features_reference": earlier.features, "real_reference": earlier.real})

    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""
        return -distance_rise(*self._sets, confidence=confidence)

    @classmethod
    def _shares(cls, features: np.ndarray[Any, Any], real: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Each image's share in the distance: its mean kernel with the other images, less that with real ones."""
        return np.asarray(cls._with_others(features) - 2 * real)

    @staticmethod
    def _with_others(features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Each image's mean kernel with the other images, shape (images,)."""
        between = kernel(features.astype(np.float64), features.astype(np.float64))
        return np.asarray((between.sum(axis=1) - between.diagonal()) / max(1, len(between) - 1))

    @property
    def _sets(self) -> tuple[ImageSet, ImageSet, ImageSet]:
        pairs = (
            (self.features_reference, self.real_reference), (self.features, self.real), (self.broken, self.real_broken),
        )  # fmt: skip
        first, second, third = (ImageSet(one.astype(np.float64), other.astype(np.float64)) for one, other in pairs)
        return first, second, third

    @property
    def _distances(self) -> tuple[float, float]:
        reference, value, _ = self._sets
        return distance(reference, self.constant), distance(value, self.constant)


def crossed(features: np.ndarray[Any, Any], real: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean kernel of each image with the real ones, shape (images,)."""
    return np.asarray(kernel(features.astype(np.float64), real.astype(np.float64)).mean(axis=1))
