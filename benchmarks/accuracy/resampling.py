"""What most gates do about a mean: bootstraps over units. The sets of a batch share their resamples."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from accuracy.cell import ALPHA

RESAMPLES = 1000
NAMES = ("percentile", "studentized", "BCa")


def upper_bounds(drop: np.ndarray, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """One-sided upper bounds of the mean of each row.

    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 12 (studentized) and 14 (BCa).

    Args:
        drop: shape [sets, n].
        generator: of the resamples.

    Returns:
        Name → shape [sets]; infinity where a method sets no bound.
    """
    n = drop.shape[1]
    drawn = generator.integers(0, n, (RESAMPLES, n))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=n) / n
    mean = drop.mean(axis=1, keepdims=True)
    centred = drop - mean
    moved, square = centred @ times.T, (centred**2) @ times.T
    bounds = {"percentile": mean[:, 0] + np.quantile(moved, 1 - ALPHA, axis=1, method="higher")}
    error = np.sqrt(np.maximum(square - moved**2, 0.0) / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 1e-15, moved / error, np.where(np.abs(moved) > 1e-15, np.sign(moved) * np.inf, 0.0))
        own = np.sqrt((centred**2).mean(axis=1) / n)
        lowest = np.quantile(ratio, ALPHA, axis=1, method="lower")
        studentized = mean[:, 0] - np.where(own > 0, lowest * own, 0.0)
        skew = (centred**3).sum(axis=1)
        cubes = (centred**2).sum(axis=1) ** 1.5
        acceleration = np.where(cubes > 0, skew / (6 * cubes), 0.0)
    bounds["studentized"] = np.where(np.isnan(studentized), np.inf, studentized)
    # Half of the ties count as below: with discrete scores they are many.
    below = ((moved < -1e-15).mean(axis=1) + (moved <= 1e-15).mean(axis=1)) / 2
    bias = ndtri(np.clip(below, 1 / (RESAMPLES + 1), 1 - 1 / (RESAMPLES + 1)))
    shifted = bias + ndtri(1 - ALPHA)
    level = ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-9))
    ranked = np.sort(moved, axis=1)
    rank = np.clip(np.ceil(level * RESAMPLES).astype(int) - 1, 0, RESAMPLES - 1)
    bounds["BCa"] = mean[:, 0] + ranked[np.arange(len(ranked)), rank]
    return bounds
