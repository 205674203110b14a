"""How a budget over all layers is shared out: the least error that it buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
HALVINGS = 100


def allot(costs: Sequence[Array], errors: Sequence[Array], budget: float) -> list[int]:
    """For each layer, which of its choices to take, so that the sum of errors is small and that of costs in budget.

    The Lagrangian of the sum is minimized layer by layer, and its multiplier found by bisection (Y. Shoham, A. Gersho,
    "Efficient bit allocation for an arbitrary set of quantizers", 1988, section III); that is exact on the convex hull
    of what can be reached. What is left of the budget then buys single improvements, the best bargain first.

    Args:
        costs: for each layer, the cost of each of its choices.
        errors: of the same shapes, what each choice does harm.
        budget: limit on the sum of the costs.

    Raises:
        ValueError: the cheapest choices together cost more than the budget.
    """
    least = sum(float(one.min()) for one in costs)
    if least > budget:
        raise ValueError(f"{least:g} is the least that can be reached")

    def at(price: float) -> list[int]:
        # Of equals, the cheapest.
        return [int(np.lexsort((cost, error + price * cost))[0]) for cost, error in zip(costs, errors, strict=True)]

    def spent(choice: Sequence[int]) -> float:
        return sum(float(cost[index]) for cost, index in zip(costs, choice, strict=True))

    if spent(at(0.0)) <= budget:
        return at(0.0)
    low, high = 0.0, 1.0
    while spent(at(high)) > budget:
        low, high = high, high * 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(at(middle)) > budget else (low, middle)
    return _improved(at(high), costs, errors, budget)


def _improved(choice: list[int], costs: Sequence[Array], errors: Sequence[Array], budget: float) -> list[int]:
    left = budget - sum(float(cost[index]) for cost, index in zip(costs, choice, strict=True))
    while True:
        best, bargain = None, 0.0
        for layer, (cost, error) in enumerate(zip(costs, errors, strict=True)):
            extra, gain = cost - cost[choice[layer]], error[choice[layer]] - error
            worth = np.where((extra <= left) & (gain > 0), gain / np.maximum(extra, 1e-300), 0.0)
            if worth.max() > bargain:
                best, bargain = (layer, int(worth.argmax())), float(worth.max())
        if best is None:
            return choice
        layer, index = best
        left -= float(costs[layer][index] - costs[layer][choice[layer]])
        choice[layer] = index
