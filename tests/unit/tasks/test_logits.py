import numpy as np
import pytest
import torch
from scipy.special import expit, logit, rel_entr, softmax

from harness.tasks.image_classification import ImageClassification
from harness.tasks.logits import divergence_of_chances, divergence_of_logits

TEACHER = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
STUDENT = torch.tensor([[0.3, 0.1, -2.0], [1.0, 1.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_relative_entropy_times_the_squared_temperature(temperature: float, reverse: bool) -> None:
    theirs, ours = (softmax(one.numpy() / temperature, axis=1) for one in (TEACHER, STUDENT))
    pair = (ours, theirs) if reverse else (theirs, ours)
    expected = temperature**2 * rel_entr(*pair).sum(axis=1).mean()
    found = ImageClassification().divergence(STUDENT, TEACHER, temperature, reverse=reverse)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_at_high_temperature_its_gradient_is_the_difference_of_logits() -> None:
    """Hinton, Vinyals, Dean 2015, equation 4: (z - v) / N for logits of zero mean, here with its T² undone."""
    student = (STUDENT - STUDENT.mean(1, keepdim=True)).requires_grad_(True)
    teacher = TEACHER - TEACHER.mean(1, keepdim=True)
    divergence_of_logits(student, teacher, 1e4).backward()
    expected = (student - teacher).detach() / 3 / len(student)
    np.testing.assert_allclose(student.grad, expected, rtol=1e-3)


def test_rows_are_positions_where_there_are_more_axes() -> None:
    one = divergence_of_logits(STUDENT.view(1, 2, 3), TEACHER.view(1, 2, 3), 2.0)
    assert torch.equal(one, divergence_of_logits(STUDENT, TEACHER, 2.0))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("reverse", [False, True])
def test_of_chances_it_is_the_relative_entropy_of_yes_and_no(temperature: float, reverse: bool) -> None:
    teacher, student = np.array([0.9, 0.2, 0.5]), np.array([0.6, 0.3, 0.5])
    theirs, ours = (expit(logit(one) / temperature) for one in (teacher, student))
    first, second = (ours, theirs) if reverse else (theirs, ours)
    expected = temperature**2 * (rel_entr(first, second) + rel_entr(1 - first, 1 - second))
    chances = (torch.tensor(one) for one in (student, teacher))
    found = divergence_of_chances(*chances, temperature, reverse=reverse)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_chances_of_none_and_one_are_finite() -> None:
    assert divergence_of_chances(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]), 1.0).isfinite().all()
