"""How sparsity grows: at once, round by round, or step by step while the model is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Course = Literal["geometric", "cubic", "linear"]


def rounds(final: float, count: int, course: Course) -> list[float]:
    """The share of weights that is zero after each of `count` rounds; the last is `final`.

    Geometric: every round removes the same share of the weights that are left, ``1 - (1 - final)^(i / count)``
    (J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, section 2). Linear: the same number each. Cubic: as
    `cubic`.
    """
    shares = [index / count for index in range(1, count + 1)]
    if course == "geometric":
        grown = [1 - (1 - final) ** share for share in shares]
    else:
        grown = [final * share if course == "linear" else cubic(final, share) for share in shares]
    return [*grown[:-1], final]


def cubic(final: float, passed: float, initial: float = 0.0) -> float:
    """Sparsity when a share `passed` of the pruning time is over: fast at first, ever slower towards the end.

    ``s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n Δt))^3``: M. Zhu, S. Gupta, "To prune, or not to prune", 2017, eq. 1.
    """
    return final + (initial - final) * (1 - min(max(passed, 0.0), 1.0)) ** 3


def stepwise(
    update: Callable[[nn.Module, float], None],
    *,
    steps: int,
    begin: float,
    end: float,
    every: int,
    after: Callable[[nn.Module], None],
) -> Callable[[nn.Module], None]:
    """What the training loop calls after each step.

    Args:
        update: prunes anew, told which share of the pruning time is over; called every so many steps and at its end.
        steps: steps of the whole training.
        begin: share of them before pruning starts.
        end: share of them after which it is over.
        every: steps from one update to the next.
        after: called after every step, after the update.
    """
    first, last = round(begin * steps), max(round(begin * steps) + 1, round(end * steps))
    taken = 0

    def step(model: nn.Module) -> None:
        nonlocal taken
        taken += 1
        if first <= taken <= last and ((taken - first) % every == 0 or taken == last):
            update(model, (taken - first) / (last - first))
        after(model)

    return step
