"""What correlations of similarities share: the cosine of embeddings against what people say."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Correlation
from harness.measurement.correlation import Coefficient
from harness.metrics.base import CORRELATION, Better, Metric, Span
from harness.metrics.chance import require_following
from harness.tasks.base import Answers, Evaluation


class Correlated(Metric):
    """What every metric is that correlates a model's similarities with given ones."""

    better: ClassVar[Better] = "higher"
    span: ClassVar[Span | None] = CORRELATION
    needs_data: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"embedding"})
    targets: ClassVar[str] = "similarities"
    tolerance: ClassVar[float] = 0.002


def correlation(evaluation: Evaluation, coefficient: Coefficient) -> Correlation:
    """Both models' cosine similarities of every pair whose true similarity is known.

    Raises:
        Unmeasurable: fewer than three pairs are known, an embedding has no direction, or the float model's coefficient
            is not proven above zero.
    """
    rows, columns = np.nonzero(np.triu(np.isfinite(evaluation.targets), 1))
    if len(rows) < 3:
        raise Unmeasurable(f"a correlation over {len(rows)} pairs means nothing")
    cosines = [_cosines(side) for side in (evaluation.reference, evaluation.compressed)]
    units = np.unique(evaluation.units, return_inverse=True)[1]
    measured = Correlation(
        coefficient=coefficient,
        first=units[rows].astype(np.int32),
        second=units[columns].astype(np.int32),
        truth=evaluation.targets[rows, columns].astype(np.float32),
        similarities_reference=cosines[0][rows, columns].astype(np.float32),
        similarities=cosines[1][rows, columns].astype(np.float32),
        data=evaluation.data,
    )
    require_following(measured)
    return measured


def _cosines(answers: Answers) -> np.ndarray[Any, Any]:
    embedding = answers["embedding"].astype(np.float64)
    lengths = np.linalg.norm(embedding, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise Unmeasurable(f"{int((lengths == 0).sum())} of {len(lengths)} embeddings are zero: they point nowhere")
    unit = embedding / lengths
    cosines: np.ndarray[Any, Any] = unit @ unit.T
    return cosines
