"""Several wrong verdicts at once: Holm's correction.

Holm (1979), A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 65-70.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float], alpha: float = 0.05) -> tuple[bool, ...]:
    """Which hypotheses are rejected so that any true one is with at most the chance `alpha`.

    Args:
        p_values: one for each hypothesis, for example "this budget is kept".
        alpha: error rate of the whole family.

    Returns:
        Whether each is rejected, in the order given.

    Raises:
        ValueError: when a p-value is no probability.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie between 0 and 1, not {list(p_values)}")
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return tuple(rejected)
