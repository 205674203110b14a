"""The Fréchet distance of two sets of features, taken as normal.

M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017 (FID).
D. Dowson, B. Landau, "The Fréchet distance between multivariate normal distributions", 1982.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh

from harness.statistics.interval import FloatArray


def frechet_distance(one: FloatArray, other: FloatArray) -> float:
    """The squared distance |m - n|² + tr(S + T - 2 (S T)^½) of means m, n and covariances S, T.

    It is biased upwards, the more so the fewer samples there are.

    Args:
        one: shape [n, features].
        other: shape [m, features].

    Raises:
        ValueError: a set has fewer than two samples, or other features.
    """
    if min(len(one), len(other)) < 2 or one.shape[1] != other.shape[1]:
        raise ValueError("a Fréchet distance needs two sets of at least two samples with the same features")
    (mean, spread), (centre, width) = (_moments(each) for each in (one, other))
    # The eigenvalues of S T are those of R T R, where R is the root of S: a symmetric matrix.
    values, vectors = np.linalg.eigh(spread)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    roots = np.sqrt(np.clip(eigvalsh(root @ width @ root), 0, None))
    return float(((mean - centre) ** 2).sum() + spread.trace() + width.trace() - 2 * roots.sum())


def _moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))
