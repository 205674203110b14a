"""Whether an evaluation split is large enough to prove what a spec claims."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.data.base import Dataset, Split
from harness.errors import Unmeasurable
from harness.spec.resolution import needs_samples, unprovable
from harness.spec.schema import Spec


def require_resolution(spec: Spec, data: Dataset, targets: np.ndarray[Any, Any] | None = None) -> None:
    """Refuse a limit on an accuracy that the split cannot prove even with no sample lost: a pass would be luck.

    Where the number of samples is known without loading them, the spec was refused when it was loaded, but for averages
    over classes, for which it takes the classes.

    Args:
        spec: with its budgets.
        data: with the evaluation split.
        targets: of that split; read from it where they are not at hand.

    Raises:
        Unmeasurable: with the number of samples that it would take.
    """
    if data.evaluation is None:
        return
    units, confidence = data.evaluation.units, spec.measure.confidence
    n = int(np.unique(units).size)
    for label, metric in spec.budgets.items():
        swing = 1.0
        if metric.averaged and needs_samples(metric):
            targets = _targets(data.evaluation) if targets is None else targets
            swing = metric.swing(targets, units)
        for name, sentence in unprovable(metric, confidence, n, swing):
            raise Unmeasurable(f"the budget {label} has a {name} that is too tight to prove: {sentence}")


def _targets(split: Split) -> np.ndarray[Any, Any]:
    return np.concatenate([batch.targets.numpy() for batch in split.batches(256)])
