"""How far one unit moves an average over classes, and that no rare class is lost unseen for it."""

import itertools

import numpy as np
import pytest

from harness.measurement import Labels
from harness.measurement.swing import of_counts, of_labels, of_ranking


def labels(statistic, targets, reference, value, units=None):
    units = np.arange(len(targets)) if units is None else units
    return Labels(statistic=statistic, targets=targets, labels_reference=reference, labels=value, units=units, data="d")


NINE_AND_A_RARE_ONE = np.repeat(np.arange(10), [100] * 9 + [10])


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        # One of the ten that the rare class has, of 910 units and 10 classes.
        ("recall", 910 / (10 * 10)),
        ("precision", 910 / (10 * 10)),
        # The rare class loses half as much, and so does the class that is named: (1 / 10 + 1 / 100) / 2.
        ("f1", 910 / 10 * (1 / 10 + 1 / 100) / 2),
    ],
)
def test_the_rarest_class_decides(statistic, expected):
    targets = NINE_AND_A_RARE_ONE
    assert of_labels(statistic, targets, targets, np.arange(910)) == pytest.approx(expected)


@pytest.mark.parametrize("statistic", ["recall", "precision", "f1"])
def test_it_is_one_for_even_classes(statistic):
    targets = np.arange(100) % 4
    assert of_labels(statistic, targets, targets, np.arange(100)) == pytest.approx(1.0)


def test_a_class_that_is_hardly_ever_named_moves_precision():
    targets = np.arange(100) % 2
    named = np.where(np.arange(100) >= 4, 0, targets)
    # Class 1 is named twice, right both times; class 0 has 50 of 98 right.
    assert of_labels("precision", targets, named, np.arange(100)) == pytest.approx(
        100 / 2 * (1 / 2 + (1 - 50 / 98) / 98)
    )


def test_units_of_several_samples_move_as_much_as_all_of_them():
    targets = np.repeat([0, 1], [8, 2])
    # Both samples of class 1 belong to one unit of nine.
    owner = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8])
    assert of_labels("recall", targets, targets, owner) == pytest.approx(9 * 2 / 2 / 2)


@pytest.mark.parametrize("statistic", ["recall", "precision", "f1"])
def test_it_is_how_far_the_figure_moves_for_a_small_share(statistic):
    """The swing is the slope of the figure in the share of units of the worst kind."""
    random = np.random.default_rng(3)
    targets = random.choice(4, 3000, p=[0.6, 0.25, 0.1, 0.05])
    named = np.where(random.random(3000) < 0.1, random.choice(4, 3000), targets)
    measured, slopes = labels(statistic, targets, named, named), []
    base = measured._macro(named, np.ones((1, 3000)))[0]
    for true in range(4):
        for wrong in range(4):
            if true != wrong:
                # A thousandth of a sample of that class is named wrong where it was named right.
                weights = np.ones((1, 3000))
                weights[0, np.flatnonzero((targets == true) & (named == true))[0]] -= 1e-3
                moved = measured.model_copy(
                    update={"targets": np.append(targets, true), "labels": np.append(named, wrong)}
                )
                slopes.append((base - moved._macro(moved.labels, np.append(weights, [[1e-3]], axis=1))[0]) / 1e-3)
    assert of_labels(statistic, targets, named, np.arange(3000)) == pytest.approx(3000 * max(slopes), rel=2e-3)


@pytest.mark.parametrize(
    ("sizes", "rate"), [([100] * 9 + [10], 0.1), ([100] * 9 + [10], 0.26), ([400] * 9 + [8], 0.3), ([384, 8, 8], 0.3)]
)
@pytest.mark.parametrize("statistic", ["recall", "f1"])
def test_a_class_that_fails_alone_does_not_pass_unseen(statistic, sizes, rate):
    """Losses in the rarest class only, the true drop at the limit: with the mean swing 3 to 57 % of sets passed."""
    random, rare = np.random.default_rng(0), len(sizes) - 1
    targets = np.repeat(np.arange(len(sizes)), sizes)
    limit = rate / len(sizes)
    if statistic == "f1":
        common, lost = sizes[0], sizes[rare] * rate
        limit = (rate / (2 - rate) + lost / (2 * common + lost)) / len(sizes)
    passed = 0
    for _ in range(150):
        lost = (targets == rare) & (random.random(len(targets)) < rate)
        passed += labels(statistic, targets, targets, np.where(lost, 0, targets)).drop(0.95).upper < limit
    # More than 5.8 % by more than three standard errors would be 18 of 150.
    assert passed <= 17


def named_as(confusion):
    """Targets and labels of a matrix: how many of each class (row) are named as each (column)."""
    counts = np.asarray(confusion)
    rows, columns = np.indices(counts.shape)
    return np.repeat(rows.ravel(), counts.ravel()), np.repeat(columns.ravel(), counts.ravel())


def average(statistic, confusion):
    hit, support, named = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    part, whole = {"precision": (hit, named), "recall": (hit, support), "f1": (2 * hit, named + support)}[statistic]
    return float(np.where(whole > 0, part / np.maximum(whole, 1), 0).mean())


def lost(confusion, counts, to):
    """The matrix where so many hits of each class are named as the class that is so far behind it."""
    after = np.array(confusion)
    for one, count in enumerate(counts):
        after[one, one] -= count
        after[one, (one + to) % len(after)] += count
    return after


TWO = [np.array([[first, a], [b, second]]) for first in (1, 4, 9) for second in (1, 5, 60) for a in (0, 1, 8)
       for b in (0, 1, 8)]  # fmt: skip
THREE = [np.array([[first, a, 0], [0, second, a], [b, 0, 9]]) for first in (1, 9) for second in (4, 60) for a in (0, 2)
         for b in (0, 1, 8)]  # fmt: skip


@pytest.mark.parametrize("statistic", ["precision", "recall", "f1"])
def test_no_loss_falls_further_than_by_the_largest_move_of_one_unit(statistic):
    """Where a share 1 - exp(-l) of each class's h hits is lost, the average falls by the sum of h l moves at most.

    With that the bound of a drop holds where nothing was seen: none of these is, with the chance exp(-sum of h l).
    """
    for before in TWO + THREE:
        targets, named = named_as(before)
        hits, move = np.diag(before), of_labels(statistic, targets, named, np.arange(len(targets))) / len(targets)
        some = [sorted({0, 1, count // 2, count - 1} - {count}) for count in hits]
        for counts in itertools.product(*some):
            seen = float((hits * -np.log(1 - np.array(counts) / hits)).sum())
            for to in range(1, len(before)):
                fall = average(statistic, before) - average(statistic, lost(before, counts, to))
                assert fall <= seen * move * (1 + 1e-9), (before, counts, to)


def test_a_class_of_many_false_names_falls_further_than_its_own_move():
    """Nine of the ten that are named so are right: the first lost costs 0.01, and eight cost 0.05 each."""
    before = np.array([[9, 0], [1, 999]])
    targets, named = named_as(before)
    own = (1 - 0.9) / 10 + 1 / 999
    move = of_labels("precision", targets, named, np.arange(1009)) / 1009
    # The largest is that of a sample of the other class which is named so.
    assert move == pytest.approx(0.9 / 10 / 2)
    fall = average("precision", before) - average("precision", lost(before, (8, 0), 1))
    seen = 9 * np.log(9)
    assert own / 2 * seen < 0.6 * fall
    assert fall < seen * move


def test_with_nothing_lost_the_bound_holds_for_the_rare_class_alone():
    targets = NINE_AND_A_RARE_ONE
    clopper_pearson = 1 - 0.05 ** (1 / 10)
    bound = labels("recall", targets, targets, targets).drop(0.95)
    assert clopper_pearson / 10 <= bound.upper <= 1.25 * clopper_pearson / 10
    assert -bound.lower == pytest.approx(bound.upper, rel=0.1)


def test_a_unit_with_more_objects_moves_more():
    positives = np.array([[1, 0], [1, 1], [2, 3]])
    shares = [[1 / 4, 0], [1 / 4, 1 / 4], [2 / 4, 3 / 4]]
    assert of_counts(positives, np.arange(3)) == pytest.approx(3 * max(np.mean(one) for one in shares))
    # Two images of one unit add up.
    assert of_counts(positives, np.array([0, 1, 1])) == pytest.approx(2 * (3 / 4 + 1) / 2)


def test_a_false_detection_moves_average_precision_as_much_as_a_miss():
    positives = np.repeat(np.eye(2, dtype=int), [190, 10], axis=0)
    # In front of hit k of ten, a small weight of it takes its share of all precisions from there on.
    fallen = [sum(1 / place for place in range(first, 11)) / 10 for first in range(1, 11)]
    assert np.mean(fallen) == pytest.approx(1 / 10)
    assert of_ranking(positives, np.arange(200)) == pytest.approx(200 * (1 / 10 + np.mean(fallen)) / 2)
