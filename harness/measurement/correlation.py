"""How well similarities of both models follow a given one, over pairs of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from harness.measurement.base import MEASUREMENTS, SHARE_GAIN, Array, Base
from harness.statistics import FloatArray, Interval, mean_difference

Coefficient = Literal["pearson", "spearman"]


@MEASUREMENTS.register
class Correlation(Base):
    """Similarities that both models gave to the same pairs, correlated with the ones that are true.

    Pairs that share a sample are not independent, so what is sampled is the *unit*, and the claim is made from
    jackknife pseudo-values: n times the coefficient, less n - 1 times the coefficient without one unit. Their mean
    is the coefficient up to a bias of order 1/n, and they are as good as independent.
    Arvesen (1969), Jackknifing U-statistics. Annals of Mathematical Statistics 40, 2076-2100.

    Attributes:
        coefficient: Pearson's, or Spearman's (of ranks).
        first, second: shape (pairs,), the sampling unit of each pair's two samples.
        truth: shape (pairs,).
        similarities_reference, similarities: shape (pairs,), of the float and of the compressed model.
        data: fingerprint of the samples.
    """

    kind: Literal["correlation"] = "correlation"
    coefficient: Coefficient
    first: Array
    second: Array
    truth: Array
    similarities_reference: Array
    similarities: Array
    data: str

    @property
    def value(self) -> float:
        """The compressed model's coefficient."""
        return self._coefficient(self.similarities, np.ones(len(self.truth), dtype=bool))

    @property
    def reference(self) -> float:
        """The float model's coefficient."""
        return self._coefficient(self.similarities_reference, np.ones(len(self.truth), dtype=bool))

    @property
    def n(self) -> int:
        """Sampling units."""
        return int(np.union1d(self.first, self.second).size)

    @property
    def plausible(self) -> float:
        """A coefficient reaches no farther than a share does."""
        return SHARE_GAIN

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Similarities, a line a pair, with the true one and the number of each sample's unit."""
        return {
            "first_unit": self.first,
            "second_unit": self.second,
            "truth": self.truth,
            "float_similarity": self.similarities_reference,
            "compressed_similarity": self.similarities,
        }

    def ids(self, names: Sequence[str]) -> list[str]:
        """The two samples of each pair; its number where samples share units, for those are all that is kept of it."""
        if not len(self.first) or not names:
            return []
        first, second = self.first.astype(np.int64), self.second.astype(np.int64)
        single = int(max(first.max(), second.max())) + 1 == len(names)
        # Pairs are kept in the order of samples, so that units in another order than these show.
        rising = bool((first < second).all() and (np.diff(first * len(names) + second) > 0).all())
        if not (single and rising):
            return [f"pair {number}" for number in range(1, len(first) + 1)]
        return [f"{names[one]} | {names[other]}" for one, other in zip(first.tolist(), second.tolist(), strict=True)]

    def against(self, earlier: Base) -> Correlation | None:
        """Both runs' similarities of the same pairs."""
        if not isinstance(earlier, Correlation) or earlier.data != self.data:
            return None
        if earlier.similarities.shape != self.similarities.shape:
            return None
        return self.model_copy(update={"similarities_reference": earlier.similarities})

    def drop(self, confidence: float) -> Interval:
        """Float − compressed: the mean of paired pseudo-values."""
        scores = [self._pseudo_values(side) for side in (self.similarities_reference, self.similarities)]
        found = mean_difference(scores[0], scores[1], np.arange(self.n), confidence)
        # The bounds are the pseudo-values'; the figure is the one that the sentence shows of each side.
        return Interval(self.reference - self.value, found.lower, found.upper, confidence, f"jackknife, {found.method}")

    def of_reference(self, confidence: float) -> Interval:
        """The float model's coefficient: the mean of its pseudo-values, bounded as the mean of differences is.

        Args:
            confidence: of each bound.

        Raises:
            ValueError: without one of the units there is nothing to correlate.
        """
        values = self._pseudo_values(self.similarities_reference)
        found = mean_difference(values, np.zeros_like(values), np.arange(self.n), confidence)
        return Interval(self.reference, found.lower, found.upper, confidence, f"jackknife, {found.method}")

    def _pseudo_values(self, similarities: np.ndarray[Any, Any]) -> FloatArray:
        units = np.union1d(self.first, self.second)
        whole = self._coefficient(similarities, np.ones(len(self.truth), dtype=bool))
        without = [self._coefficient(similarities, (self.first != one) & (self.second != one)) for one in units]
        values: FloatArray = len(units) * whole - (len(units) - 1) * np.array(without)
        return values

    def _coefficient(self, similarities: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> float:
        from scipy.stats import rankdata

        columns = [side[kept].astype(np.float64) for side in (similarities, self.truth)]
        if self.coefficient == "spearman":
            columns = [rankdata(column) for column in columns]
        centred = [column - column.mean() for column in columns]
        spread = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
        return float((centred[0] * centred[1]).sum() / spread) if spread > 0 else float("nan")
