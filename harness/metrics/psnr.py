"""Peak signal-to-noise ratio."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from harness.measurement import Pairs
from harness.metrics.base import METRICS, Bench
from harness.metrics.fidelity import Fidelity, fidelity, require_same_shape

# Of equal images, which have no noise: beyond what images of 8 bits can tell apart.
MOST = 100.0


@METRICS.register
class Psnr(Fidelity):
    """Mean peak signal-to-noise ratio of the images to the float model's of the same noise; equal ones count 100 dB."""

    metric: Literal["psnr"] = "psnr"
    unit: ClassVar[str] = "dB"
    tolerance: ClassVar[float] = 0.5

    def measure(self, bench: Bench) -> Pairs:
        """10 · log10(1 / mean squared error) of each image, whose pixels are shares of full scale.

        Raises:
            Unmeasurable: the compressed model makes images of another shape.
        """
        evaluation = bench.evaluation()
        require_same_shape(evaluation)
        ours, theirs = (side["image"].astype(np.float64) for side in (evaluation.compressed, evaluation.reference))
        errors = ((ours - theirs) ** 2).mean(axis=(1, 2, 3))
        return fidelity(evaluation, -10 * np.log10(np.maximum(errors, 10 ** (-MOST / 10))), MOST)
