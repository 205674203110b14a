"""Precision of generated images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.manifold import Manifold, within


@METRICS.register
class GeneratedPrecision(Manifold):
    """Share of generated images within the manifold of the real ones: how many look real (Kynkäänniemi et al. 2019)."""

    metric: Literal["generated_precision"] = "generated_precision"

    def measure(self, bench: Bench) -> Pairs:
        """Whether each model's image of the same noise is within."""
        space = self.space(bench)
        return Pairs(
            outcomes_reference=within(space.reference, space.real, self.neighbours),
            outcomes=within(space.compressed, space.real, self.neighbours),
            units=np.arange(len(space.reference)),
            data=space.data,
        )
