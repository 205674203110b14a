from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, pearsonr, t
from sklearn.metrics import cohen_kappa_score

from harness.errors import Unmeasurable
from harness.measurement import Correlation
from harness.measurement.correlation import Coefficient
from harness.metrics.chance import require_above_classes, require_following, require_informed
from harness.metrics.correlation import correlation
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


def alike(noise: float, texts: int = 40, seed: int = 0) -> Evaluation:
    """Texts whose meaning is a point in four dimensions, and a model that sees it under noise."""
    draw = np.random.default_rng(seed)
    meaning, blur = draw.normal(size=(2, texts, 4))
    unit = meaning / np.linalg.norm(meaning, axis=1, keepdims=True)
    answers = {"embedding": (meaning + noise * blur).astype(np.float32)}
    return Evaluation(answers, answers, unit @ unit.T, np.arange(texts), [str(one) for one in range(texts)], "data")


@pytest.mark.parametrize("coefficient", ["pearson", "spearman"])
def test_a_float_model_whose_similarities_do_not_follow_the_truth_is_refused(coefficient: Coefficient) -> None:
    found = correlation(alike(1.0), coefficient)
    assert 0.3 < found.reference == found.value < 0.9
    with pytest.raises(Unmeasurable, match=rf"do not follow the truth: its {coefficient} over 40 samples is -?0\.0"):
        correlation(alike(1000.0), coefficient)
    # One that says the contrary of the truth knows no more of it.
    contrary = alike(0.0)
    contrary = Evaluation(
        contrary.reference, contrary.reference, -contrary.targets, contrary.units, contrary.names, contrary.data
    )
    with pytest.raises(Unmeasurable, match=r"is -(1\.0000|0\.\d+), and the 95 % lower bound of that, -\d\.\d+, is not"):
        correlation(contrary, coefficient)


def test_too_few_texts_prove_nothing_of_a_float_model() -> None:
    with pytest.raises(Unmeasurable, match=r"over 3 samples is .* lower bound of that, -inf, is not above 0"):
        correlation(alike(0.5, texts=3), "pearson")


def test_the_bound_of_a_float_coefficient_is_as_low_as_students_of_its_pseudo_values() -> None:
    refused = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        first, second = np.triu_indices(12, 1)
        truth, told = draw.normal(size=(2, len(first)))
        found = Correlation(
            coefficient="pearson", first=first, second=second, truth=truth, similarities_reference=told,
            similarities=told, data="d",
        )  # fmt: skip
        kept = [(first != one) & (second != one) for one in range(12)]
        without = [pearsonr(told[part], truth[part])[0] for part in kept]
        values = 12 * found.reference - 11 * np.array(without)
        bound = found.of_reference(0.95)
        assert bound.lower <= values.mean() - t.ppf(0.95, 11) * values.std(ddof=1) / np.sqrt(12) + 1e-9
        try:
            require_following(found)
        except Unmeasurable:
            refused += 1
    # Told by chance, one in twenty may look like knowledge.
    assert refused >= 185
