"""Structural similarity."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Pairs
from harness.metrics.base import CORRELATION, METRICS, Bench, Span
from harness.metrics.fidelity import Fidelity, fidelity, require_same_shape

WINDOW = 7


@METRICS.register
class Ssim(Fidelity):
    """Mean structural similarity of the images to the float model's of the same noise, by scikit-image.

    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", 2004; windows of 7x7 pixels.
    """

    metric: Literal["ssim"] = "ssim"
    span: ClassVar[Span | None] = CORRELATION
    tolerance: ClassVar[float] = 0.002

    def measure(self, bench: Bench) -> Pairs:
        """The similarity of each image, pixels as shares of full scale.

        Raises:
            Unmeasurable: the images are smaller than a window, or the compressed model's are of another shape.
        """
        from skimage.metrics import structural_similarity

        evaluation = bench.evaluation()
        require_same_shape(evaluation)
        ours, theirs = evaluation.compressed["image"], evaluation.reference["image"]
        if min(ours.shape[2:]) < WINDOW:
            raise Unmeasurable(f"images of {ours.shape[2]}x{ours.shape[3]} pixels hold no window of {WINDOW}x{WINDOW}")
        scores = [
            structural_similarity(one, other, data_range=1.0, channel_axis=0, win_size=WINDOW)  # type: ignore[no-untyped-call]
            for one, other in zip(ours, theirs, strict=True)
        ]
        return fidelity(evaluation, np.array(scores, dtype=np.float64), 1.0)
