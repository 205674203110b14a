"""What metrics share that hold a compressed generator's images to those of its float model, noise by noise."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.measurement import Pairs
from harness.metrics.base import Better, Metric
from harness.tasks.base import Evaluation


class Fidelity(Metric):
    """What both metrics share: needs no real image, and is bounded by its interval."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    relative: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"image"})


def fidelity(evaluation: Evaluation, scores: np.ndarray[Any, Any], perfect: float) -> Pairs:
    """Scores of the compressed model's images; the float model's are like themselves, which is `perfect`."""
    return Pairs(
        outcomes_reference=np.full(len(scores), perfect), outcomes=scores, units=evaluation.units, data=evaluation.data
    )
