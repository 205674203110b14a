"""Whether an evaluation split is large enough to prove what a spec claims."""

from __future__ import annotations

import numpy as np

from harness.data.base import Dataset
from harness.errors import Unmeasurable
from harness.spec.schema import Spec
from harness.statistics import needed_n, smallest_limit


def require_resolution(spec: Spec, data: Dataset) -> None:
    """Refuse a limit on an accuracy that the split cannot prove even with no sample lost: a pass would be luck.

    Raises:
        Unmeasurable: with the number of samples that it would take.
    """
    if data.evaluation is None:
        return
    n = int(np.unique(data.evaluation.units).size)
    finest = smallest_limit(n, spec.measure.confidence)
    for label, metric in spec.budgets.items():
        limit = metric.max_drop
        if limit is not None and metric.needs_data and limit < finest:
            raise Unmeasurable(
                f"{label}: {n} evaluation samples cannot prove a drop below {limit:g} even with none lost (the finest "
                f"limit is {finest:.4f}); it takes {needed_n(limit, spec.measure.confidence):,} samples"
            )
