"""The result that every function of this package returns, and the checks on what comes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """An estimate between two one-sided confidence bounds.

    Attributes:
        estimate: point estimate.
        lower: lower bound, one-sided at `confidence`; minus infinity where the data set none.
        upper: upper bound, one-sided at `confidence`; infinity where the data set none.
        confidence: of each bound alone: the pair at 0.95 is a two-sided interval at 0.90.
        method: short name of the method, for the report.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    method: str

    def __neg__(self) -> Interval:
        """The interval of the quantity with its sign turned."""
        return Interval(-self.estimate, -self.upper, -self.lower, self.confidence, self.method)


def require_confidence(confidence: float) -> None:
    """Refuse a confidence that is no one-sided level.

    Raises:
        ValueError: outside (0.5, 1).
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence must lie between 0.5 and 1, not {confidence!r}")


def require_counts(n: int, **counts: int) -> None:
    """Refuse counts that no sample of `n` can give.

    Raises:
        ValueError: for a sample that is empty, a negative count, or counts that add up to more than `n`.
    """
    if n <= 0:
        raise ValueError(f"n must be positive, not {n}")
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"{name} must not be negative, but is {count}")
    if sum(counts.values()) > n:
        raise ValueError(f"{' + '.join(counts)} is {sum(counts.values())}, more than n = {n}")


def finite(name: str, values: npt.ArrayLike, dimensions: int = 1) -> FloatArray:
    """The values as a float64 array of that many dimensions.

    Raises:
        ValueError: when it is empty, of another shape, or holds NaN or infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise ValueError(f"{name} must be a non-empty array of {dimensions} dimension(s), not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(array)).sum())} value(s) that are not finite")
    return array
