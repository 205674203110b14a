"""Precision and recall of generated images: which lie within the manifold of the real ones, and the other way.

T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved Precision and Recall Metric for Assessing
Generative Models", 2019, equations 1 and 2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harness.errors import Unmeasurable
from harness.metrics.base import SHARE, Better, Span
from harness.metrics.generated import Compared


class Manifold(Compared):
    """What both metrics share."""

    neighbours: int = Field(
        default=3, ge=1, description="an image's ball reaches to its neighbour of this rank among its own kind: k"
    )
    better: ClassVar[Better] = "higher"
    span: ClassVar[Span | None] = SHARE
    tolerance: ClassVar[float] = 0.005


def within(points: np.ndarray[Any, Any], others: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
    """Whether each point lies in the ball of at least one of the others, which reaches to its k-th neighbour.

    Args:
        points: shape (n, features).
        others: shape (m, features), what the manifold is made of.
        k: rank of the neighbour; itself is none.

    Returns:
        bool, shape (n,).

    Raises:
        Unmeasurable: there are no k others.
    """
    from scipy.spatial.distance import cdist

    if len(others) <= k:
        raise Unmeasurable(f"{len(others):,} images have no neighbour of rank {k}: evaluate on more")
    one, other = points.astype(np.float64), others.astype(np.float64)
    radii = np.partition(cdist(other, other), k, axis=1)[:, k]
    return np.asarray((cdist(one, other) <= radii).any(axis=1))
