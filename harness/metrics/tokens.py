"""What metrics of language models share: figures over the scored tokens of all evaluation windows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.measurement import Totals
from harness.metrics.base import Better, Metric
from harness.metrics.chance import require_above_frequencies
from harness.tasks.base import Evaluation


class OfTokens(Metric):
    """What every metric is that is read off the tokens of a text."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    targets: ClassVar[str] = "tokens"
    tolerance: ClassVar[float] = 0.002


def totals(
    evaluation: Evaluation, reference: np.ndarray[Any, Any], compressed: np.ndarray[Any, Any], *,
    share: bool = False, exponential: bool = False,
) -> Totals:  # fmt: skip
    """Sums over each window's scored tokens, of both models, where the float model knows anything of these texts.

    Args:
        evaluation: for what is scored, how probable it was to the float model, the units and the data.
        reference: of the float model, shape (windows,).
        compressed: of the compressed model.
        share: whether each token adds 0 or 1.
        exponential: whether the figure is e to the mean.

    Raises:
        Unmeasurable: the float model is no better than chance.
    """
    scored = evaluation.reference["scored"]
    require_above_frequencies(evaluation.targets, evaluation.reference["nll"], scored)
    return Totals(
        totals_reference=reference.astype(np.float64),
        totals=compressed.astype(np.float64),
        tokens=scored.astype(np.int64),
        units=evaluation.units,
        data=evaluation.data,
        counted=share,
        exponential=exponential,
    )
