from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from harness.errors import Unmeasurable
from harness.metrics.chance import require_above_classes, require_informed
from harness.metrics.ranking import agreement, hits, labels
from harness.tasks.base import Evaluation


def evaluation(
    targets: list[int] | np.ndarray, named: list[int] | np.ndarray, units: np.ndarray | None = None
) -> Evaluation:
    targets, named = np.asarray(targets), np.asarray(named)
    ranked = {"ranked": named[:, None]}
    n = len(targets)
    return Evaluation(
        ranked, ranked, targets, np.arange(n) if units is None else units, [str(one) for one in range(n)], "data"
    )


def right(found: Evaluation) -> np.ndarray:
    return np.asarray(found.reference["ranked"][:, 0] == found.targets)


# The exact test itself says from where on 20 answers to two balanced classes are more than luck: P(X >= 15) = 0.0207.
@pytest.mark.parametrize(("count", "better"), [(14, False), (15, True)])
def test_the_float_model_must_be_proven_better_than_the_most_frequent_class(count: int, better: bool) -> None:
    targets = np.arange(20) % 2
    found = evaluation(targets, np.where(np.arange(20) < count, targets, 1 - targets))
    assert bool(binomtest(count, 20, 0.5, alternative="greater").pvalue < 0.05) is better
    if better:
        require_above_classes(found, right(found), 1)
        return
    with pytest.raises(Unmeasurable, match=r"right on 0\.7000 of 20 samples, and always answering .* gives 0\.5000"):
        require_above_classes(found, right(found), 1)


def test_a_rare_class_that_is_found_is_knowledge_though_the_most_frequent_class_scores_higher() -> None:
    targets = np.repeat([0, 1], [970, 30])
    named = targets.copy()
    named[:20], named[970:985] = 1, 0  # 15 of 30 found, at 20 false alarms: right on 96.5 %, and always 0 on 97 %
    found = evaluation(targets, named)
    require_informed(found)
    labels(found, "f1")
    with pytest.raises(Unmeasurable, match=r"right on 0\.9650 .* most frequent class gives 0\.9700"):
        hits(found, 1)


def test_answers_without_looking_are_chance_by_cohens_kappa() -> None:
    generator = np.random.default_rng(0)
    targets, named = generator.integers(0, 4, (2, 400))
    found = evaluation(targets, named)
    assert abs(cohen_kappa_score(targets, named)) < 0.05
    for measure in (agreement, lambda one: labels(one, "f1")):
        with pytest.raises(Unmeasurable, match=r"not proven better than chance.* without looking gives 0\.2"):
            measure(found)
    constant = evaluation(targets, np.zeros(400, dtype=int))
    with pytest.raises(Unmeasurable, match="not proven better than chance"):
        require_informed(constant)


def test_samples_of_one_class_mean_nothing() -> None:
    found = evaluation([3] * 50, [3] * 50)
    with pytest.raises(Unmeasurable, match="are all of one class: a model that always answers it is right"):
        hits(found, 1)
    with pytest.raises(Unmeasurable, match="not proven better than chance"):
        agreement(found)
    few = evaluation(np.arange(50) % 4, np.arange(50) % 4)
    with pytest.raises(Unmeasurable, match="are all of 4 classes: a model that always answers the same 5 is right"):
        require_above_classes(few, right(few), 5)


def test_units_are_what_counts() -> None:
    """Four units of five samples: 16 of 20 samples are proof, 3.2 of 4 units are not."""
    targets = np.tile([0, 1], 10)
    named = np.where(np.arange(20) % 5 == 0, 1 - targets, targets)
    require_above_classes(evaluation(targets, named), right(evaluation(targets, named)), 1)
    clustered = evaluation(targets, named, np.arange(20) // 5)
    with pytest.raises(Unmeasurable, match="of 4 units"):
        require_above_classes(clustered, right(clustered), 1)


def test_a_hit_that_is_certain_means_nothing() -> None:
    found = evaluation(np.arange(50) % 7, np.arange(50) % 7)
    with pytest.raises(Unmeasurable, match="a top-5 hit means nothing where only 1 classes are ranked"):
        hits(found, 5)
