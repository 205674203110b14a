"""What metrics share that hold a compressed generator's images to those of its float model, noise by noise."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Pairs
from harness.metrics.base import Better, Metric
from harness.tasks.base import Evaluation


class Fidelity(Metric):
    """What both metrics share: needs no real image, and is bounded by its interval."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    relative: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"image"})


def require_same_shape(evaluation: Evaluation) -> None:
    """Hold the compressed model's images to the shape of the float model's.

    Raises:
        Unmeasurable: with both shapes.
    """
    ours, theirs = (side["image"].shape[1:] for side in (evaluation.compressed, evaluation.reference))
    if ours != theirs:
        raise Unmeasurable(
            f"the compressed model makes images of shape {ours}, and the float model of {theirs} (channels, height, "
            "width), so what is compared is no likeness: leave out the step that changed the size or the channels"
        )


def fidelity(evaluation: Evaluation, scores: np.ndarray[Any, Any], perfect: float) -> Pairs:
    """Scores of the compressed model's images; the float model's are like themselves, which is `perfect`."""
    return Pairs(
        outcomes_reference=np.full(len(scores), perfect), outcomes=scores, units=evaluation.units, data=evaluation.data
    )
