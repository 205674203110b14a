from __future__ import annotations

import numpy as np
import pytest

from harness.data.base import Dataset, TensorSplit
from harness.errors import Unmeasurable
from harness.run.resolution import require_resolution
from harness.spec.schema import Spec
from harness.statistics import smallest_limit

torch = pytest.importorskip("torch")


def spec(limit: float, metric: str = "top1") -> Spec:
    return Spec.model_validate(
        {
            "version": 1,
            "title": "t",
            "task": "image-classification",
            "model": {"source": "zoo", "name": "lenet5-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": {metric: {"max_drop": limit}},
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


def test_of_an_average_over_classes_the_rarest_class_decides() -> None:
    """190, 8 and 2 samples of three classes: one of the two is a sixth of the average."""
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([190, 8, 2]))
    split = TensorSplit(torch.arange(800.0).reshape(200, 4), labels, np.arange(200))
    rare = Dataset(calibration=split, evaluation=split)
    # 200 samples prove 0.0149 of a share; a sample of the rarest class weighs 200 / (3 · 2) = 33.3 times its share.
    finest = smallest_limit(200) * 100 / 3
    with pytest.raises(
        Unmeasurable, match=rf"recall .* \(the finest limit is {finest:.4f}\); it takes 249, for a"
    ) as told:
        require_resolution(spec(0.4, "recall"), rare)
    assert str(told.value).endswith("a sample of the rarest class weighs 33.3 times as much as of even classes")
    require_resolution(spec(0.51, "recall"), rare)
    require_resolution(spec(0.02, "top1"), rare)
    # F1 loses half as much in that class, and half as much in the next one that is named.
    with pytest.raises(Unmeasurable, match=r"f1 .* \(the finest limit is 0\.3099\)"):
        require_resolution(spec(0.2, "f1"), rare)
    # With targets at hand none are read.
    require_resolution(spec(0.02, "f1"), rare, np.arange(200) % 3)


def test_of_detections_the_class_with_the_fewest_objects_decides() -> None:
    boxes = torch.zeros(200, 1, 6)
    boxes[:10, :, 0] = 1
    split = TensorSplit(torch.arange(800.0).reshape(200, 4), boxes, np.arange(200))
    rare = Dataset(calibration=split, evaluation=split)
    detecting = spec(0.1, "map50").model_copy(update={"task": "object-detection"})
    with pytest.raises(Unmeasurable, match=r"map50 .* \(the finest limit is 0\.297\d\)"):
        require_resolution(detecting, rare)
