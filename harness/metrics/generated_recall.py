"""Recall of generated images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.manifold import Manifold, within


@METRICS.register
class GeneratedRecall(Manifold):
    """Share of real images within the manifold of the generated ones: how much variety is left (the same authors).

    What is sampled are the real images; those that each model made are taken as they are.
    """

    metric: Literal["generated_recall"] = "generated_recall"

    def measure(self, bench: Bench) -> Pairs:
        """Of the real images that belong to each sample, those within each model's manifold: yes or no, or a share."""
        space = self.space(bench)
        n = len(space.reference)
        reference, compressed = (
            within(space.real, made, self.neighbours).reshape(n, -1) for made in (space.reference, space.compressed)
        )
        if reference.shape[1] == 1:
            reference, compressed = reference[:, 0], compressed[:, 0]
        else:
            reference, compressed = reference.mean(axis=1), compressed.mean(axis=1)
        # A share of the images of a sample is none and all of them at the farthest.
        return Pairs(outcomes_reference=reference, outcomes=compressed, units=np.arange(n), data=space.data, reach=1.0)
