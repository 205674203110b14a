import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.methods.low_rank.allotment import allot


def exhaustive(costs: list[np.ndarray], errors: list[np.ndarray], budget: float) -> float:
    """The least error that any affordable combination has."""
    reached = [
        sum(error[i] for error, i in zip(errors, choice, strict=True))
        for choice in itertools.product(*(range(len(cost)) for cost in costs))
        if sum(cost[i] for cost, i in zip(costs, choice, strict=True)) <= budget
    ]
    return min(reached)


def test_components_of_unequal_price_are_bought_by_their_bargain() -> None:
    # Two layers; a unit of rank costs 1 and 3. Worth: 4, 1 for the first, 9, 6 for the second.
    costs = [np.array([0.0, 1, 2]), np.array([0.0, 3, 6])]
    errors = [np.array([5.0, 1, 0]), np.array([15.0, 6, 0])]
    assert allot(costs, errors, 4) == [1, 1]
    assert allot(costs, errors, 7) == [1, 2]
    assert allot(costs, errors, 100) == [2, 2]
    assert allot(costs, errors, 0) == [0, 0]


def test_what_is_left_over_buys_one_improvement_more() -> None:
    # On the convex hull of each layer lie only its ends; 5 is enough for the second layer's middle.
    costs = [np.array([0.0, 10]), np.array([0.0, 5, 8])]
    errors = [np.array([4.0, 0]), np.array([4.0, 3, 0])]
    assert allot(costs, errors, 5) == [0, 1]


def test_an_option_that_is_dearer_and_worse_is_never_taken() -> None:
    assert allot([np.array([1.0, 2, 3])], [np.array([1.0, 5, 0])], 2.5) == [0]


def test_a_budget_below_the_cheapest_is_refused() -> None:
    with pytest.raises(ValueError, match="2 is the least"):
        allot([np.array([1.0, 2]), np.array([1.0, 4])], [np.zeros(2), np.zeros(2)], 1.9)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0))
def test_it_is_affordable_and_at_most_one_choice_from_the_optimum(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    costs = [np.sort(rng.integers(0, 20, 5)).astype(float) for _ in range(3)]
    # Convex and falling, as squared singular values leave it.
    errors = [np.append(np.sort(rng.random(4))[::-1].cumsum()[::-1], 0.0) for _ in range(3)]
    low, high = sum(c[0] for c in costs), sum(c[-1] for c in costs)
    budget = low + share * (high - low)
    choice = allot(costs, errors, budget)
    spent = sum(cost[i] for cost, i in zip(costs, choice, strict=True))
    reached = sum(error[i] for error, i in zip(errors, choice, strict=True))
    assert spent <= budget
    # A Lagrangian solution misses the optimum by less than one layer's largest step.
    assert reached <= exhaustive(costs, errors, budget) + max(float(e[0]) for e in errors)
