"""Whether an evaluation split is large enough to prove what a spec claims."""

from __future__ import annotations

import numpy as np

from harness.data.base import Dataset
from harness.errors import Unmeasurable
from harness.spec.resolution import unprovable
from harness.spec.schema import Spec


def require_resolution(spec: Spec, data: Dataset) -> None:
    """Refuse a limit on an accuracy that the split cannot prove even with no sample lost: a pass would be luck.

    Where the number of samples is known without loading them, the spec was refused when it was loaded.

    Raises:
        Unmeasurable: with the number of samples that it would take.
    """
    if data.evaluation is None:
        return
    n = int(np.unique(data.evaluation.units).size)
    for label, metric in spec.budgets.items():
        for name, sentence in unprovable(metric, spec.measure.confidence, n):
            raise Unmeasurable(f"the budget {label} asks for too much with its {name}: {sentence}")
