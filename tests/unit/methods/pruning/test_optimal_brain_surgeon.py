from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.n_m_sparsity import pattern
from harness.methods.pruning.optimal_brain_surgeon import OptimalBrainSurgeon, second_moments, surgery
from harness.training import Training

Choice = Callable[[torch.Tensor, int], torch.Tensor]


def problem(rows: int = 3, columns: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(100, columns, generator=generator, dtype=torch.float64)
    inputs = inputs @ torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64), inputs.T @ inputs


def given(mask: torch.Tensor) -> Choice:
    return lambda scores, past: mask[:, past : past + scores.shape[1]]


def error(left: torch.Tensor, matrix: torch.Tensor, hessian: torch.Tensor) -> float:
    return float(((left - matrix) @ hessian * (left - matrix)).sum())


def least_squares(matrix: torch.Tensor, hessian: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
    """The best there is with these zeros: row by row, on the weights that are left."""
    best = torch.zeros_like(matrix)
    for row, lost in enumerate(gone):
        left = ~lost
        best[row, left] = torch.linalg.solve(hessian[left][:, left], hessian[left] @ matrix[row])
    return best


def test_one_weight_goes_as_hassibi_and_stork_have_it() -> None:
    """Eq. 5: dw = -w_q / [H^-1]_qq H^-1 e_q, and the error rises by w_q^2 / [H^-1]_qq."""
    matrix, hessian = problem(rows=1)
    gone = torch.zeros(1, 8, dtype=torch.bool)
    gone[0, 0] = True
    left = surgery(matrix, hessian, 8, given(gone), block=8, damping=0.0)
    inverse = torch.linalg.inv(hessian)
    expected = matrix - matrix[0, 0] / inverse[0, 0] * inverse[0]
    torch.testing.assert_close(left, expected, rtol=1e-8, atol=1e-10)
    assert error(left, matrix, hessian) == pytest.approx(float(matrix[0, 0] ** 2 / inverse[0, 0]), rel=1e-6)


@pytest.mark.parametrize("block", [1, 3, 8])
def test_columns_from_the_left_leave_the_least_squares_solution(block: int) -> None:
    matrix, hessian = problem()
    gone = torch.zeros(3, 8, dtype=torch.bool)
    gone[0, :2] = gone[1, :5] = True
    left = surgery(matrix, hessian, 8, given(gone), block, damping=0.0)
    torch.testing.assert_close(left, least_squares(matrix, hessian, gone), rtol=1e-7, atol=1e-9)


def test_any_mask_lands_between_the_optimum_and_no_compensation() -> None:
    matrix, hessian = problem(rows=20)
    gone = torch.rand(20, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    left = surgery(matrix, hessian, 8, given(gone), block=4, damping=0.0)
    assert bool((left[gone] == 0).all())
    optimum = error(least_squares(matrix, hessian, gone), matrix, hessian)
    assert optimum < error(left, matrix, hessian) < error(matrix.masked_fill(gone, 0), matrix, hessian)


@pytest.mark.parametrize("layer", [
    nn.Linear(6, 4), nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.Conv1d(2, 3, 3, dilation=2, padding="same"),
])  # fmt: skip
def test_moments_are_those_of_what_the_layer_multiplies(layer: nn.Module, workshop: Any) -> None:
    """w H w = the sum of squared answers, bias included."""
    from harness.data.base import TensorSplit

    shape = {nn.Linear: (6,), nn.Conv2d: (4, 7, 7), nn.Conv1d: (2, 9)}[type(layer)]
    inputs = torch.randn(130, *shape, generator=torch.Generator().manual_seed(0))
    split = TensorSplit(inputs, torch.zeros(130, dtype=torch.int64))
    with torch.no_grad():
        moments = second_moments(lambda: [layer(*one.inputs) for one in split.batches(64)], layer)
        groups = len(moments)
        weights = torch.cat([layer.weight.flatten(1), layer.bias[:, None]], dim=1).double()
        energy = sum(
            float((rows @ moment * rows).sum())
            for rows, moment in zip(weights.reshape(groups, -1, weights.shape[1]), moments, strict=True)
        )
        assert energy == pytest.approx(float(layer(inputs).double().square().sum()), rel=1e-5)


def test_what_is_left_makes_up_for_what_goes(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = OptimalBrainSurgeon(sparsity=0.8, keep=("conv1",))
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    plain = weigh(MagnitudePruning(sparsity=0.8, scope="layer", keep=("conv1",)).apply(subject(), workshop))
    zeros = {one.name.split(".")[-2]: one.zeros for one in after.evidence.matrices}
    assert zeros == {"conv1": 0, "conv2": 1920, "fc1": 38_400, "fc2": 8064, "fc3": 672}
    assert plain.accuracy(digits) + 0.05 < after.accuracy(digits)
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(method.contradictions(before.evidence, before.evidence)) == 4
    assert after.content == weigh(method.apply(subject(), workshop)).content


def test_n_m_pattern_runs_along_the_channels(subject: Any, workshop: Any, weigh: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2, bias=False), nn.ReLU(),
            nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
        )  # fmt: skip
    method = OptimalBrainSurgeon(n=2, m=4, finetune=Training(epochs=1))
    pruned = method.apply(subject(model), workshop)
    assert not bool((pruned.model[0].weight == 0).any())
    for index in (2, 4, 7):
        weight = pruned.model[index].weight.movedim(1, -1)
        assert bool(((weight.reshape(-1, 4) == 0).sum(1) == 2).all())
    assert method.contradictions(weigh(subject(model)).evidence, weigh(pruned).evidence) == []


def test_options_that_contradict_each_other_are_refused(subject: Any, workshop: Any) -> None:
    from dataclasses import replace

    for options in ({}, {"sparsity": 0.5, "n": 2, "m": 4}, {"n": 2}):
        with pytest.raises(ValidationError, match="give either `sparsity`, or `n` and `m`"):
            OptimalBrainSurgeon.model_validate(options)
    # Weights are chosen among `m` then, whatever the block is.
    assert OptimalBrainSurgeon(n=2, m=6).block == 128
    with pytest.raises(MethodError, match="calibrates on data"):
        OptimalBrainSurgeon(sparsity=0.5).apply(subject(), replace(workshop, data=None))


@pytest.mark.parametrize("sparsity", [0.5, 0.6])
def test_the_share_is_exact_where_each_group_is_a_handful_of_weights(
    sparsity: float, subject: Any, workshop: Any, weigh: Any
) -> None:
    """Of the nine weights of a depthwise channel 4.5 are to go: half of the channels lose one more."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(8, 10),
        )  # fmt: skip
    method = OptimalBrainSurgeon(sparsity=sparsity)
    pruned = method.apply(subject(model), workshop)
    assert int((pruned.model[2].weight == 0).sum()) == round(sparsity * 72)
    assert method.contradictions(weigh(subject(model)).evidence, weigh(pruned).evidence) == []


def test_of_every_m_those_go_that_matter_least_once_what_went_before_is_made_up_for() -> None:
    """SparseGPT, section 3.4, worked out plainly: the inverse of what is left of the Hessian, anew for each column."""
    matrix, hessian = problem(rows=64, columns=16)
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(16, dtype=torch.float64)
    expected, gone = matrix.clone(), torch.zeros(64, 16, dtype=torch.bool)
    for column in range(16):
        inverse = torch.linalg.inv(damped[column:, column:])
        if column % 4 == 0:
            # What each would cost when it is its turn: the Hessian without the columns before it.
            costs = [torch.linalg.inv(damped[one:, one:])[0, 0] for one in range(column, column + 4)]
            gone[:, column : column + 4] = pattern(expected[:, column : column + 4] ** 2 / torch.stack(costs), 2, 4)
        lost = torch.where(gone[:, column], expected[:, column], 0.0)
        expected[:, column:] -= torch.outer(lost / inverse[0, 0], inverse[0])
        expected[:, column] = torch.where(gone[:, column], 0.0, expected[:, column])
    layer = nn.Linear(16, 64, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(matrix)
        OptimalBrainSurgeon(n=2, m=4)._prune(layer, layer.weight, torch.block_diag(hessian, torch.ones(1, 1))[None])
        found = layer.weight.detach()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    # Chosen before anything has been made up for, it costs more.
    early = surgery(matrix, hessian, 16, lambda scores, _: pattern(scores, 2, 4), block=16, damping=0.01)
    assert error(found, matrix, hessian) < 0.95 * error(early, matrix, hessian)
