import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from harness.errors import Unmeasurable
from harness.tasks.base import Evaluation
from harness.tasks.detections import OVERLAPS, average_precision, finds, matched

CLASSES, KEPT = 3, 12


def scattered(seed: int, images: int = 40, crowds: float = 0.1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Targets, and detections of which many lie near one of them."""
    generator = np.random.default_rng(seed)
    targets = np.full((images, 6, 6), -1, dtype=np.float32)
    boxes = np.zeros((images, KEPT, 4), dtype=np.float32)
    scores = np.zeros((images, KEPT), dtype=np.float32)
    labels = np.full((images, KEPT), -1, dtype=np.int16)
    for image in range(images):
        count = int(generator.integers(0, 7))
        corners = generator.uniform(0, 80, (count, 2))
        targets[image, :count, 0] = generator.integers(0, CLASSES, count)
        targets[image, :count, 1:3] = corners
        targets[image, :count, 3:5] = corners + generator.uniform(10, 40, (count, 2))
        targets[image, :count, 5] = generator.uniform(size=count) < crowds
        made = int(generator.integers(0, KEPT + 1))
        for row in range(made):
            if count and generator.uniform() < 0.7:
                truth = targets[image, int(generator.integers(count))]
                boxes[image, row] = truth[1:5] + generator.uniform(-4, 4, 4)
                labels[image, row] = truth[0] if generator.uniform() < 0.9 else generator.integers(CLASSES)
            else:
                corner = generator.uniform(0, 80, 2)
                boxes[image, row] = [*corner, *(corner + generator.uniform(10, 40, 2))]
                labels[image, row] = generator.integers(CLASSES)
            # Few values, so that scores tie.
            scores[image, row] = generator.integers(1, 40) / 40
    return targets, {"boxes": boxes, "scores": scores, "labels": labels}


def library(targets: np.ndarray, answers: dict[str, np.ndarray]) -> tuple[float, float]:
    """COCO's two figures, by faster-coco-eval."""
    truth = [
        {
            "id": 1000 * image + row + 1, "image_id": image + 1, "category_id": int(one[0]), "iscrowd": int(one[5]),
            "bbox": [one[1], one[2], one[3] - one[1], one[4] - one[2]], "area": (one[3] - one[1]) * (one[4] - one[2]),
        }
        for image, rows in enumerate(targets.astype(float)) for row, one in enumerate(rows) if one[0] >= 0
    ]  # fmt: skip
    found = [
        {"image_id": image + 1, "category_id": int(label), "score": float(score),
         "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
        for image in range(len(targets))
        for box, score, label in zip(
            answers["boxes"][image].astype(float), answers["scores"][image], answers["labels"][image], strict=True
        ) if label >= 0
    ]  # fmt: skip
    dataset = COCO(
        {
            "images": [{"id": image + 1} for image in range(len(targets))],
            "annotations": truth,
            "categories": [{"id": number, "name": str(number)} for number in range(CLASSES)],
        }
    )
    evaluation = COCOeval_faster(dataset, dataset.loadRes(found), "bbox")
    evaluation.run()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def evaluated(targets: np.ndarray, *sides: dict[str, np.ndarray]) -> Evaluation:
    images = np.arange(len(targets))
    return Evaluation(sides[0], sides[-1], targets, images, [str(one) for one in images], "data")


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_the_librarys(seed):
    targets, answers = scattered(seed)
    expected = library(targets, answers)
    evaluation = evaluated(targets, answers)
    assert average_precision(evaluation, OVERLAPS).value == pytest.approx(expected[0], abs=1e-9)
    assert average_precision(evaluation, OVERLAPS[:1]).value == pytest.approx(expected[1], abs=1e-9)


def test_an_object_is_found_once_and_by_the_surest():
    targets = np.full((1, 2, 6), -1, dtype=np.float32)
    targets[0, 0] = [0, 0, 0, 10, 10, 0]
    answers = {
        "boxes": np.array([[[0, 0, 10, 9], [0, 0, 10, 10], [0, 0, 10, 4]]], dtype=np.float32),
        "scores": np.array([[0.6, 0.9, 0.8]], dtype=np.float32),
        "labels": np.array([[0, 0, 0]], dtype=np.int16),
    }
    found = matched(answers, targets, OVERLAPS[:1])
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert found.hits[:, 0].tolist() == [True, False, False]


def test_shares_of_what_a_user_is_shown():
    # Two objects of class 0 and one of class 1; shown: one hit and one miss of class 0; class 1 is found, but unsure.
    targets = np.full((1, 3, 6), -1, dtype=np.float32)
    targets[0] = [[0, 0, 0, 10, 10, 0], [0, 50, 50, 60, 60, 0], [1, 80, 80, 90, 90, 0]]
    answers = {
        "boxes": np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [80, 80, 90, 90]]], dtype=np.float32),
        "scores": np.array([[0.9, 0.5, 0.2]], dtype=np.float32),
        "labels": np.array([[0, 0, 1]], dtype=np.int16),
    }
    evaluation = evaluated(targets, answers)
    assert finds(evaluation, "precision").value == pytest.approx((1 / 2 + 0) / 2)
    assert finds(evaluation, "recall").value == pytest.approx((1 / 2 + 0) / 2)
    assert finds(evaluation, "f1").value == pytest.approx((2 * 1 / (2 + 2) + 0) / 2)


def test_a_float_model_that_finds_nothing_is_refused():
    targets, answers = scattered(0)
    blind = {**answers, "boxes": answers["boxes"] + 1000}
    with pytest.raises(Unmeasurable, match="finds next to nothing"):
        average_precision(evaluated(targets, blind, answers), OVERLAPS)
    with pytest.raises(Unmeasurable, match="finds next to nothing"):
        finds(evaluated(targets, blind, answers), "f1")


def test_images_without_an_object_are_refused():
    targets, answers = scattered(0)
    with pytest.raises(Unmeasurable, match="nothing to find"):
        average_precision(evaluated(np.full_like(targets, -1), answers), OVERLAPS)


@pytest.mark.parametrize(
    "made", [lambda one: average_precision(one, OVERLAPS), lambda one: finds(one, "f1")], ids=["map50_95", "f1"]
)
@pytest.mark.parametrize(("before", "now"), [(7, 5), (5, 7)])
def test_a_class_that_one_run_alone_names_leaves_both_runs_comparable(made, before, now):
    """A box of a class without an object in each run, and no other but on two images in the later one."""
    targets, answers = scattered(0)

    def run(stray, seen):
        labels = np.where(np.arange(len(targets))[:, None] < seen, answers["labels"], -1)
        labels[0, 0] = stray
        return made(evaluated(targets, answers, {**answers, "labels": labels}))

    earlier, later = run(before, 40), run(now, 2)
    both = later.against(earlier)
    assert both is not None
    assert (both.reference, both.value) == pytest.approx((earlier.value, later.value))
    held, alike = both.drop(0.95), run(now, 2).against(run(now, 40)).drop(0.95)
    assert held.estimate > 0.05
    assert (held.estimate, held.lower, held.upper) == pytest.approx((alike.estimate, alike.lower, alike.upper))
