"""Image classification: what is kept of a batch, and the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import top_k_accuracy_score
from torch import nn

from harness.data.base import Batch
from harness.errors import Unmeasurable
from harness.tasks.image_classification import ImageClassification

TASK = ImageClassification()


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(200, 12, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_first_k_ranks_hold_the_truth_as_often_as_scikit_learn_says(logits: torch.Tensor, k: int) -> None:
    truth = np.arange(200) % 12
    ranked = TASK.answers((logits,))["ranked"]
    assert ranked.dtype == np.int16
    assert ranked.shape == (200, 5)
    share = (ranked[:, :k] == truth[:, None]).any(axis=1).mean()
    assert share == pytest.approx(top_k_accuracy_score(truth, logits.numpy(), k=k))


def test_fewer_classes_than_five_are_all_ranked() -> None:
    assert TASK.answers((torch.tensor([[0.1, 0.3, 0.2]]),))["ranked"].tolist() == [[1, 2, 0]]


def test_equal_logits_rank_in_the_order_of_their_classes() -> None:
    coarse = torch.tensor([[0.5, 1.0, 0.5, 1.0, 0.5, 0.5, 1.0] * 20])
    assert TASK.answers((coarse,))["ranked"].tolist() == [[1, 3, 6, 8, 10]]


def test_a_sample_is_scored_by_the_probability_of_its_true_class() -> None:
    """Whichever class is named, and 0 where the model has no output for the true one."""
    eighths = [0.0, math.log(2), math.log(5)]
    logits = torch.tensor([eighths, eighths, eighths, [-1000.0, 1000.0, 0.0], eighths, eighths])
    targets = torch.tensor([0, 1, 2, 0, 3, -1])
    answers = TASK.answers_to(Batch((logits,), targets), (logits,))
    assert answers["ranked"][:, 0].tolist() == [2, 2, 2, 1, 2, 2]
    scores = answers[TASK.score]
    assert (scores.dtype, scores.shape) == (np.float32, (6,))
    assert scores.tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8, 0, 0, 0], rel=1e-6, abs=1e-30)


def test_the_score_is_the_softmax_at_the_target(logits: torch.Tensor) -> None:
    targets = torch.arange(200) % 12
    scores = TASK.answers_to(Batch((logits,), targets), (logits,))[TASK.score]
    expected = np.exp(log_softmax(logits.double().numpy(), axis=1))[np.arange(200), targets.numpy()]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_targets_that_are_no_classes_are_given_no_probability(logits: torch.Tensor) -> None:
    """As of samples that were blended: a share of each class."""
    blended = torch.full((200, 12), 1 / 12)
    assert TASK.answers_to(Batch((logits,), blended), (logits,)).keys() == {"ranked"}


@pytest.mark.parametrize("rows", [199, 150])
def test_a_model_that_leaves_rows_out_is_not_given_scores_for_them(logits: torch.Tensor, rows: int) -> None:
    answers = TASK.answers_to(Batch((logits,), torch.arange(200) % 12), (logits[:rows],))
    assert {name: len(kept) for name, kept in answers.items()} == {"ranked": rows, "probability": rows}


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_no_answer(logits: torch.Tensor, poison: float) -> None:
    logits[7, 3] = poison
    logits[9, 1] = poison
    with pytest.raises(Unmeasurable, match="not finite for 2 of 200 images"):
        TASK.answers((logits,))


@pytest.mark.parametrize("shape", [(4, 10, 2, 2), (4,), (4, 1)])
def test_an_output_that_is_no_matrix_of_logits_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Unmeasurable, match="logits of shape"):
        TASK.answers((torch.zeros(shape),))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_closed_form(logits: torch.Tensor, smoothing: float) -> None:
    targets = torch.arange(200) % 12
    logs = log_softmax(logits.double().numpy(), axis=1)
    expected = -((1 - smoothing) * logs[np.arange(200), targets.numpy()] + smoothing * logs.mean(axis=1)).mean()
    loss = TASK.loss(nn.Identity(), Batch((logits,), targets), smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_task_with_nothing_before_or_after_the_model_has_no_whole_to_time():
    with pytest.raises(Unmeasurable, match="does nothing before or after the model"):
        ImageClassification().whole(lambda inputs: inputs, (torch.zeros(1, 1, 2, 2),))


def test_accuracy_is_the_share_of_right_first_answers():
    answers = {"ranked": np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.int16)}
    assert ImageClassification().accuracy(answers, np.array([1, 1, 0, 1])) == 0.5
