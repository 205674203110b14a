from __future__ import annotations

import numpy as np
import pytest

from harness.data.base import Dataset, TensorSplit
from harness.errors import Unmeasurable
from harness.run.resolution import require_resolution
from harness.spec.schema import Spec

torch = pytest.importorskip("torch")


def spec(limit: float) -> Spec:
    return Spec.model_validate(
        {
            "version": 1,
            "title": "t",
            "task": "image-classification",
            "model": {"source": "zoo", "name": "lenet5-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": {"top1": {"max_drop": limit}},
        }
    )


def data(samples: int, units: int) -> Dataset:
    split = TensorSplit(
        torch.arange(samples * 4.0).reshape(samples, 4), torch.zeros(samples), np.arange(samples) % units
    )
    return Dataset(calibration=split, evaluation=split)


def test_a_limit_that_no_sample_of_this_size_can_prove_is_refused_with_the_size_that_can() -> None:
    # (1 - limit)^n = 0.05 at limit 0.02 is n = 148.3: the rule of three.
    with pytest.raises(
        Unmeasurable, match=r"top1 .* 100 independent evaluation samples cannot prove a drop below 0.02 .* it takes 149"
    ):
        require_resolution(spec(0.02), data(100, 100))
    require_resolution(spec(0.02), data(200, 200))


def test_crops_of_one_photo_are_one_unit() -> None:
    with pytest.raises(Unmeasurable, match="20 independent evaluation samples"):
        require_resolution(spec(0.02), data(200, 20))
