"""Per-sample outcomes of both models."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from harness.measurement.base import COMPRESSED, FLOAT, MEASUREMENTS, RIGHT_OR_WRONG, UNIT, Array, Base, Sampled
from harness.statistics import Interval, mean_difference, mean_ratio, needed_n, proportion_difference, proportion_ratio


@MEASUREMENTS.register
class Pairs(Sampled):
    """Per-sample outcomes of both models on the same samples: right or wrong (bool), or a score (float).

    Attributes:
        outcomes_reference, outcomes: shape (samples,).
        reach: how far from zero the difference of a sample's scores can lie: 1 for shares; None where it is not known.
            Of what is right or wrong it is 1, whatever stands here.
    """

    kind: Literal["pairs"] = "pairs"
    outcomes_reference: Array
    outcomes: Array
    reach: float | None = None

    @property
    def value(self) -> float:
        """Mean outcome of the compressed model."""
        return float(self.outcomes.mean())

    @property
    def reference(self) -> float:
        """Mean outcome of the float model."""
        return float(self.outcomes_reference.mean())

    @property
    def share(self) -> bool:
        """Whether outcomes are right or wrong, and no scores."""
        return bool(self.outcomes.dtype == np.bool_)

    @property
    def changed(self) -> tuple[str, str]:
        """Right or wrong, or the higher and the lower score."""
        return RIGHT_OR_WRONG if self.share else ("lower than float", "higher than float")

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the float model got right and the compressed one wrong; of scores, the most first."""
        return self._changed(self.outcomes_reference, self.outcomes)

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the compressed model got right and the float one wrong; of scores, the most first."""
        return self._changed(self.outcomes, self.outcomes_reference)

    @staticmethod
    def _changed(above: np.ndarray[Any, Any], below: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found = np.flatnonzero(above > below)
        if above.dtype == np.bool_:
            return found
        return found[np.argsort(below[found] - above[found], kind="stable")]

    @property
    def independent(self) -> bool:
        """Whether the samples are yes-or-no and each its own unit, so that an interval for proportions applies."""
        return bool(self.outcomes.dtype == np.bool_ and self.n == self.outcomes.size)

    def tally(self, *, higher_is_better: bool) -> str:
        """Samples lost and won, where each is right or wrong by itself."""
        if not self.independent:
            return super().tally(higher_is_better=higher_is_better)
        # Where lower is better, what was 0 for float and is 1 now is the loss.
        lost, won = (self.lost, self.won)[:: 1 if higher_is_better else -1]
        return f"{lost.size} lost, {won.size} won of {self.n}"

    def needed(self, interval: Interval, limit: float, *, drop: bool) -> float:
        """Of a difference of proportions more is known than that widths shrink: how many samples disagree."""
        if drop and self.independent and 0 < limit < 1 and interval.estimate < limit:
            discordance = (self.lost.size + self.won.size) / self.n
            needed = needed_n(limit, interval.confidence, discordance, interval.estimate)
            # It is an approximation where some disagree, and must not say that these samples are enough.
            if needed > self.n:
                return needed
        return super().needed(interval, limit, drop=drop)

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Outcomes, right and wrong as 1 and 0; scores with their known reach, for which `verdict` has no place."""
        if not self.share and self.reach is not None:
            return {
                UNIT: self.units,
                "float_score": self.outcomes_reference,
                "compressed_score": self.outcomes,
                "reach": np.full(len(self.outcomes), self.reach),
            }
        sides = {FLOAT: self.outcomes_reference, COMPRESSED: self.outcomes}
        plain = {name: side.astype(int) if side.dtype == np.bool_ else side for name, side in sides.items()}
        return {UNIT: self.units, **plain}

    def against(self, earlier: Base) -> Pairs | None:
        """Both runs' outcomes on the same samples."""
        if not isinstance(earlier, Pairs) or earlier.data != self.data or earlier.outcomes.shape != self.outcomes.shape:
            return None
        return self.model_copy(update={"outcomes_reference": earlier.outcomes})

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float ("recovery")."""
        if self.independent:
            both = int((self.outcomes_reference & self.outcomes).sum())
            return proportion_ratio(self.won.size, self.lost.size, both, self.n, confidence)
        return mean_ratio(*self._scores, self.units, confidence, reach=self._reach)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""
        if self.independent:
            return proportion_difference(self.won.size, self.lost.size, self.n, confidence)
        return mean_difference(*self._scores, self.units, confidence, reach=self._reach)

    @property
    def _scores(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return self.outcomes_reference.astype(float), self.outcomes.astype(float)

    @property
    def _reach(self) -> float | None:
        """How far from zero a sample's difference can lie: known where outcomes are right or wrong."""
        return 1.0 if self.share else self.reach
