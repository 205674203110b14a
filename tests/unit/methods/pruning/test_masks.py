import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.masks import least, prune


@given(st.floats(0.0, 1.0), st.integers(0, 1000))
def test_the_least_go_over_all_or_in_each(sparsity: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {"a": torch.randn(7, 5, generator=generator), "b": 10 * torch.randn(3, 4, 2, generator=generator)}
    gone = least(scores, sparsity, "global")
    flat = np.concatenate([scores[name].numpy().ravel() for name in scores])
    taken = np.concatenate([gone[name].numpy().ravel() for name in scores])
    assert set(np.flatnonzero(taken)) == set(np.argsort(flat)[: round(sparsity * flat.size)])
    for mask in least(scores, sparsity, "layer").values():
        assert int(mask.sum()) == round(sparsity * mask.numel())


def test_equal_scores_go_in_order() -> None:
    gone = least({"a": torch.zeros(4), "b": torch.zeros(4)}, 0.75, "global")
    assert gone["a"].tolist() == [True] * 4
    assert gone["b"].tolist() == [True, True, False, False]


def test_zeros_count_first_whatever_their_score() -> None:
    weight = nn.Parameter(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    prune({"w": weight}, {"w": torch.tensor([[9.0, 8.0], [7.0, 6.0]])}, 0.5, "global")
    assert weight.tolist() == [[0.0, 1.0], [2.0, 0.0]]


def test_no_number_is_refused() -> None:
    with pytest.raises(MethodError, match="the weights of fc cannot be ranked"):
        least({"fc": torch.tensor([1.0, float("nan")])}, 0.5, "global")
