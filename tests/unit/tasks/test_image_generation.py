import pytest
import torch

from harness.data.base import Batch
from harness.errors import MethodError, Unmeasurable
from harness.tasks.base import TASKS

TASK = TASKS["image-generation"]()  # type: ignore[call-arg]


def test_the_loss_is_the_mean_squared_error_to_what_is_to_be_predicted() -> None:
    batch = Batch((torch.tensor([[1.0, 2.0], [3.0, 4.0]]),), torch.tensor([[0.0, 2.0], [3.0, 6.0]]))
    assert TASK.loss(torch.nn.Identity(), batch).item() == pytest.approx((1 + 4) / 4)
    with pytest.raises(MethodError, match="no labels to smooth"):
        TASK.loss(torch.nn.Identity(), batch, label_smoothing=0.1)


def test_a_divergence_has_no_temperature() -> None:
    one, other = torch.zeros(2, 3), torch.full((2, 3), 2.0)
    assert TASK.divergence(one, (other,), 4.0).item() == 4.0


def test_answers_are_images() -> None:
    assert TASK.answers((torch.zeros(5, 1, 4, 4),))["image"].shape == (5, 1, 4, 4)
    with pytest.raises(Unmeasurable, match=r"the model returned \(5, 16\)"):
        TASK.answers((torch.zeros(5, 16),))
