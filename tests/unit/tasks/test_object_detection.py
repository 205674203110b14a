import numpy as np
import pytest
import torch
from torch import nn

from harness.data.base import Batch
from harness.errors import MethodError, Unmeasurable
from harness.tasks.object_detection import ObjectDetection, suppressed

TASK = ObjectDetection()


def candidates(*rows: tuple[float, ...]) -> torch.Tensor:
    """Centre x, centre y, width, height, and a score a class, a row a candidate."""
    return torch.tensor(rows).t()


def test_of_overlapping_boxes_of_a_class_the_surest_stays():
    image = candidates((50, 50, 20, 20, 0.9, 0.0), (51, 50, 20, 20, 0.8, 0.0), (90, 90, 20, 20, 0.7, 0.0))
    boxes, scores, labels = suppressed(image, 0.001)
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert boxes[0].tolist() == [40, 40, 60, 60]
    assert labels.tolist() == [0, 0]


def test_boxes_of_other_classes_and_below_the_overlap_stay():
    # 6.5 pixels apart, two squares of 20 share 0.51 of their union.
    image = candidates((50, 50, 20, 20, 0.9, 0.6), (56.5, 50, 20, 20, 0.8, 0.0))
    _, scores, labels = suppressed(image, 0.25)
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert labels.tolist() == [0, 0, 1]


def test_detections_are_padded_to_a_hundred():
    image = candidates((50, 50, 20, 20, 0.9, 0.0), (90, 90, 20, 20, 0.0005, 0.0))
    answers = TASK.answers((image[None],))
    assert {name: part.shape for name, part in answers.items()} == {
        "boxes": (1, 100, 4), "scores": (1, 100), "labels": (1, 100),
    }  # fmt: skip
    assert answers["labels"][0, :3].tolist() == [0, -1, -1]
    assert answers["scores"][0, 0] == pytest.approx(0.9)


def test_more_than_a_hundred_are_cut_to_the_surest():
    count = 150
    rows = [(20 * index, 0, 10, 10, 0.2 + index / 1000) for index in range(count)]
    answers = TASK.answers((candidates(*rows)[None],))
    assert answers["scores"][0].tolist() == pytest.approx([0.2 + index / 1000 for index in range(149, 49, -1)])


def test_an_output_without_candidates_is_refused():
    with pytest.raises(Unmeasurable, match=r"\(batch, 4 \+ classes, candidates\).*\(1, 10\)"):
        TASK.answers((torch.zeros(1, 10),))


def test_boxes_and_scores_are_parts_of_their_own():
    image = candidates((50, 40, 20, 10, 0.9, 0.1), (90, 80, 20, 10, 0.2, 0.3))[None]
    boxes, scores, other = TASK.parts((image, torch.ones(1)))
    assert boxes[0].tolist() == [[50, 90], [40, 80], [20, 20], [10, 10]]
    assert scores[0].tolist() == [pytest.approx([0.9, 0.2]), pytest.approx([0.1, 0.3])]
    assert other.tolist() == [1]
    # What is no tensor of candidates is told later on, in a sentence.
    assert len(TASK.parts((torch.zeros(1, 10),))) == 1


def test_another_number_of_classes_is_refused():
    TASK.require_classes([(1, 14, 336)], [str(one) for one in range(10)], "float")
    with pytest.raises(Unmeasurable, match="scores 80 classes, and the data has 10"):
        TASK.require_classes([(1, 84, 336)], [str(one) for one in range(10)], "float")


def test_a_model_without_a_loss_cannot_be_trained():
    batch = Batch((torch.zeros(1, 3, 32, 32),), torch.zeros(1, 1, 6))
    with pytest.raises(MethodError, match="brings no loss"):
        TASK.loss(nn.Identity(), batch)
    with pytest.raises(MethodError, match="label_smoothing"):
        TASK.loss(nn.Identity(), batch, 0.1)


def test_the_whole_call_feeds_the_model_what_it_was_given():
    fed = []

    def model(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        fed.append(inputs[0])
        return (candidates((16, 16, 8, 8, 0.9), (16, 16, 8, 8, 0.1))[None],)

    images = torch.randint(0, 256, (1, 3, 32, 32)).float() / 255
    shown = TASK.whole(model, (images,))()
    assert torch.equal(fed[0], images)
    assert shown[0][1].tolist() == pytest.approx([0.9])


def test_accuracy_is_average_precision():
    targets = np.array([[[0, 0, 0, 10, 10, 0]], [[0, 0, 0, 10, 10, 0]]], dtype=np.float32)
    answers = {
        "boxes": np.array([[[0, 0, 10, 10]], [[20, 20, 30, 30]]], dtype=np.float32),
        "scores": np.array([[0.9], [0.8]], dtype=np.float32),
        "labels": np.zeros((2, 1), dtype=np.int16),
    }
    assert TASK.accuracy(answers, targets) == pytest.approx(51 / 101)


def test_the_divergence_of_two_detectors_is_that_of_their_scores_and_boxes_by_closed_form():
    # Concentric squares of 10 and 20 share a quarter of their union; with centres and shapes alike that is all of the
    # complete overlap. The second candidate counts nearly nothing.
    teacher = candidates((50, 50, 20, 20, 0.8, 0.1), (20, 20, 8, 8, 1e-5, 1e-5))[None]
    student = candidates((50, 50, 10, 10, 0.6, 0.1), (90, 20, 8, 8, 1e-5, 1e-5))[None]
    scores = 0.8 * np.log(0.8 / 0.6) + 0.2 * np.log(0.2 / 0.4)
    # Sums of best scores below one do not count: 0.80001 + (no more).
    assert TASK.divergence(student, teacher, 1.0).item() == pytest.approx(scores + 0.8 * 0.75, abs=1e-4)
    assert TASK.divergence(teacher, teacher, 1.0).item() == pytest.approx(0, abs=1e-6)
    both = [torch.cat([one, one]) for one in (student, teacher)]
    assert TASK.divergence(*both, 1.0).item() == pytest.approx(2 * (scores + 0.6) / 1.6, abs=1e-4)


def test_detectors_of_other_candidates_cannot_be_compared():
    with pytest.raises(MethodError, match=r"gives \(1, 6, 2\) where the teacher gives \(1, 6, 1\).*match features"):
        TASK.divergence(torch.rand(1, 6, 2), torch.rand(1, 6, 1), 1.0)
