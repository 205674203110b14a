"""Kernel inception distance."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from harness.measurement import Generated
from harness.measurement.generated import crossed
from harness.metrics.base import METRICS, Bench, Better
from harness.metrics.generated import Compared
from harness.statistics import mean_kernel
from harness.statistics.frechet import frechet_distance


@METRICS.register
class Kid(Compared):
    """Kernel distance of generated to real images, unbiased at any number of them; the Fréchet distance is reported.

    Features are compared by the kernel (x·y / d + 1)³, images of the same noise are paired.
    M. Bińkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", 2018.
    """

    metric: Literal["kid"] = "kid"
    better: ClassVar[Better] = "lower"
    # Of a share near 1 what its own error adds to a ratio is of second order; a distance may double or halve.
    no_ratio: ClassVar[str] = "whose float figure is an estimate that the interval of a ratio would take for known"
    tolerance: ClassVar[float] = 0.01

    def measure(self, bench: Bench) -> Generated:
        """Features of both models' images, and what of the real ones the distance needs."""
        space = self.space(bench)
        # What is kept is what every figure is made from: half precision moves a distance by less than a thousandth.
        sides = [each.astype(np.float16) for each in (space.reference, space.compressed, space.broken)]
        crosses = [crossed(each, space.real).astype(np.float32) for each in sides]
        details = {
            "fid_reference": frechet_distance(space.reference, space.real),
            "fid": frechet_distance(space.compressed, space.real),
        }
        return Generated(
            features_reference=sides[0], features=sides[1], broken=sides[2], real_reference=crosses[0], real=crosses[1],
            real_broken=crosses[2], constant=mean_kernel(space.real.astype(np.float64)),
            units=np.arange(len(space.reference)), data=space.data, details=details,
        )  # fmt: skip
