"""What the ranked classes of both models say: hits among the first k, agreement, labels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Labels, Pairs
from harness.measurement.swing import Statistic
from harness.metrics.base import SHARE, Better, Metric, Span
from harness.metrics.chance import require_above_classes, require_informed
from harness.tasks.base import Evaluation


class Ranked(Metric):
    """What every metric is that is read off the classes which both models rank."""

    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True
    span: ClassVar[Span | None] = SHARE
    reads: ClassVar[frozenset[str]] = frozenset({"ranked"})
    targets: ClassVar[str] = "classes"
    # A library's new version or another processor's rounding moves a sample or two in a thousand.
    tolerance: ClassVar[float] = 0.002


def hits(evaluation: Evaluation, k: int) -> Pairs:
    """Whether the target is among each model's first `k` classes.

    Raises:
        Unmeasurable: the models rank fewer than `k` classes, so that a hit would be certain; or the float model is no
            better than chance.
    """
    ranked_reference, ranked = evaluation.reference["ranked"], evaluation.compressed["ranked"]
    if ranked.shape[1] < k:
        raise Unmeasurable(f"a top-{k} hit means nothing where only {ranked.shape[1]} classes are ranked")
    targets = evaluation.targets[:, None]
    right = (ranked_reference[:, :k] == targets).any(axis=1)
    require_above_classes(evaluation, right, k)
    return Pairs(
        outcomes_reference=right,
        outcomes=(ranked[:, :k] == targets).any(axis=1),
        units=evaluation.units,
        data=evaluation.data,
    )


def agreement(evaluation: Evaluation) -> Pairs:
    """Whether both models name the same first class; the float model agrees with itself everywhere.

    Raises:
        Unmeasurable: the float model is no better than chance.
    """
    require_informed(evaluation)
    same = evaluation.reference["ranked"][:, 0] == evaluation.compressed["ranked"][:, 0]
    return Pairs(outcomes_reference=np.ones_like(same), outcomes=same, units=evaluation.units, data=evaluation.data)


def labels(evaluation: Evaluation, statistic: Statistic) -> Labels:
    """Both models' first classes, for a statistic over classes.

    Raises:
        Unmeasurable: the float model is no better than chance.
    """
    require_informed(evaluation)
    return Labels(
        statistic=statistic,
        targets=evaluation.targets,
        labels_reference=evaluation.reference["ranked"][:, 0].astype(evaluation.targets.dtype),
        labels=evaluation.compressed["ranked"][:, 0].astype(evaluation.targets.dtype),
        units=evaluation.units,
        data=evaluation.data,
    )
