"""What must hold of correlations over pairs of samples, and of the intervals of their pseudo-values."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from harness.measurement import Correlation
from harness.statistics import Interval

quick = settings(max_examples=20, deadline=None, derandomize=True)
CONFIDENCE = st.sampled_from([0.8, 0.9, 0.95, 0.99])
SEED = st.integers(0, 2**32 - 1)


@st.composite
def correlations(draw: st.DrawFn) -> Correlation:
    """Similarities of all pairs of some samples, each of which both models see with noise of their own."""
    n, random = draw(st.integers(5, 12)), np.random.default_rng(draw(SEED))
    rows, columns = np.triu_indices(n, 1)
    places = random.standard_normal((n, 3))
    seen = [places + draw(st.floats(0.1, 1)) * random.standard_normal((n, 3)) for _ in range(2)]
    truth, before, after = ((each @ each.T)[rows, columns] for each in (places, *seen))
    return Correlation(
        coefficient=draw(st.sampled_from(["pearson", "spearman"])), first=rows, second=columns, truth=truth,
        similarities_reference=before, similarities=after, data="d",
    )  # fmt: skip


def assert_close(one: Interval, other: Interval) -> None:
    """Bounds differ by no more than a share of the width that rounding explains."""
    slack = 1e-4 * (other.upper - other.lower) + 1e-9
    found, expected = ((held.estimate, held.lower, held.upper) for held in (one, other))
    assert found == pytest.approx(expected, abs=slack)


@quick
@given(correlations())
def test_figures_are_those_of_scipy(measured: Correlation) -> None:
    of_scipy = {"pearson": pearsonr, "spearman": spearmanr}[measured.coefficient]
    for figure, side in (
        (measured.reference, measured.similarities_reference),
        (measured.value, measured.similarities),
    ):
        assert figure == pytest.approx(of_scipy(side, measured.truth).statistic, abs=1e-12)


@pytest.mark.parametrize("bound", [Correlation.drop, Correlation.of_reference])
@quick
@given(correlations())
def test_more_confidence_never_narrows(bound: Callable[[Correlation, float], Interval], measured: Correlation) -> None:
    held = [bound(measured, confidence) for confidence in (0.8, 0.9, 0.95, 0.99)]
    for less, more in itertools.pairwise(held):
        slack = 1e-6 * (1 + less.upper - less.lower)
        assert more.lower <= less.lower + slack
        assert less.upper <= more.upper + slack


@quick
@given(correlations(), CONFIDENCE)
def test_swapping_the_models_turns_a_drop(measured: Correlation, confidence: float) -> None:
    sides = {"similarities_reference": measured.similarities, "similarities": measured.similarities_reference}
    assert_close(-measured.model_copy(update=sides).drop(confidence), measured.drop(confidence))


@quick
@given(correlations(), CONFIDENCE)
def test_a_model_beside_itself_is_bounded_around_no_change(measured: Correlation, confidence: float) -> None:
    held = measured.model_copy(update={"similarities": measured.similarities_reference}).drop(confidence)
    assert held.estimate == 0
    assert held.lower < 0 < held.upper
    assert held.lower == pytest.approx(-held.upper)


@quick
@given(correlations(), CONFIDENCE, SEED)
def test_in_which_order_pairs_come_and_how_units_are_called_moves_no_bound(
    measured: Correlation, confidence: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    order, names = random.permutation(len(measured.truth)), random.permutation(measured.n)
    columns = {name: getattr(measured, name)[order] for name in ("truth", "similarities_reference", "similarities")}
    # Which of its two samples a pair names first is no more than a name either.
    ends = {"first": names[measured.second][order], "second": names[measured.first][order]}
    assert_close(measured.model_copy(update={**columns, **ends}).drop(confidence), measured.drop(confidence))


@quick
@given(correlations(), CONFIDENCE, st.integers(2, 4))
def test_a_pair_that_is_told_several_times_is_no_more_evidence(
    measured: Correlation, confidence: float, times: int
) -> None:
    names = ("first", "second", "truth", "similarities_reference", "similarities")
    again = {name: np.tile(getattr(measured, name), times) for name in names}
    assert_close(measured.model_copy(update=again).drop(confidence), measured.drop(confidence))


@quick
@given(correlations(), CONFIDENCE, st.lists(st.tuples(st.floats(0.1, 10), st.floats(-5, 5)), min_size=3, max_size=3))
def test_the_unit_and_the_zero_of_similarities_move_no_bound(
    measured: Correlation, confidence: float, units: list[tuple[float, float]]
) -> None:
    """Of the true ones, and of each model's."""
    names = ("truth", "similarities_reference", "similarities")
    moved = {name: scale * getattr(measured, name) + shift for name, (scale, shift) in zip(names, units, strict=True)}
    assert_close(measured.model_copy(update=moved).drop(confidence), measured.drop(confidence))


@quick
@given(correlations(), CONFIDENCE)
def test_of_ranks_the_order_of_similarities_is_all_that_counts(measured: Correlation, confidence: float) -> None:
    ranked = measured.model_copy(update={"coefficient": "spearman"})
    bent = {name: getattr(ranked, name) ** 3 for name in ("truth", "similarities_reference", "similarities")}
    assert_close(ranked.model_copy(update=bent).drop(confidence), ranked.drop(confidence))
