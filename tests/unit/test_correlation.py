"""Correlations of both models' similarities: figures as scipy's, claims from jackknife pseudo-values over units."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr, t

from harness.measurement import Correlation


def measured(noise, coefficient="pearson", units=40, seed=0):
    draw = np.random.default_rng(seed)
    rows, columns = np.triu_indices(units, 1)
    truth = draw.random(len(rows))
    reference = truth + draw.normal(0, 0.4, len(rows))
    return Correlation(
        coefficient=coefficient, first=rows, second=columns, truth=truth, similarities_reference=reference,
        similarities=reference + draw.normal(0, noise, len(rows)), data="d",
    )  # fmt: skip


@pytest.mark.parametrize(("coefficient", "scipy"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_figures_are_scipys(coefficient, scipy):
    found = measured(0.3, coefficient)
    assert found.value == pytest.approx(scipy(found.similarities, found.truth)[0], abs=1e-12)
    assert found.reference == pytest.approx(scipy(found.similarities_reference, found.truth)[0], abs=1e-12)
    assert found.n == 40


def test_the_drop_is_bounded_by_students_interval_of_pseudo_values():
    found = measured(0.5)
    drops = []
    for side in (found.similarities_reference, found.similarities):
        whole = pearsonr(side, found.truth)[0]
        without = [
            pearsonr(side[kept], found.truth[kept])[0]
            for kept in ((found.first != one) & (found.second != one) for one in range(40))
        ]
        drops.append(40 * whole - 39 * np.array(without))
    values = drops[0] - drops[1]
    student = values.mean() + t.ppf(0.95, 39) * values.std(ddof=1) / np.sqrt(40)
    interval = found.drop(0.95)
    assert interval.estimate == pytest.approx(found.reference - found.value, abs=1e-12)
    # Never tighter than Student's, and no looser than twice as wide.
    assert student - 1e-9 <= interval.upper < values.mean() + 2 * (student - values.mean())


def test_the_bound_covers_the_true_drop():
    # Noise of one unit's texts moves all of its pairs together: pairs are not independent.
    covered, trials = 0, 150
    truths = []
    for seed in range(trials):
        draw = np.random.default_rng(seed)
        rows, columns = np.triu_indices(30, 1)
        meaning, float_noise, more = (draw.normal(size=(30, 4)) for _ in range(3))
        alike = [_cosines(points)[rows, columns] for points in (meaning, meaning + 0.5 * float_noise, meaning + more)]
        found = Correlation(
            coefficient="pearson", first=rows, second=columns, truth=alike[0], similarities_reference=alike[1],
            similarities=alike[2], data="d",
        )  # fmt: skip
        truths.append(found.reference - found.value)
        covered += found.drop(0.95).upper >= np.mean(truths) if seed >= 50 else 0
    assert covered / (trials - 50) >= 0.90


def _cosines(points):
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit @ unit.T


def test_swapped_models_mirror_the_interval():
    found = measured(0.5)
    swapped = found.model_copy(
        update={"similarities_reference": found.similarities, "similarities": found.similarities_reference}
    )
    one, other = found.drop(0.95), swapped.drop(0.95)
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=1e-9)


def test_another_runs_similarities_pair_only_with_the_same_data():
    found = measured(0.5)
    assert found.against(found).reference == found.value
    assert found.against(found.model_copy(update={"data": "other"})) is None
