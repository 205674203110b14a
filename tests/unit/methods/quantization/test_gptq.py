"""GPTQ against the paper's equation worked out plainly, and against rounding to the nearest."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.grouping import Rounding, coded, stored_matrix


def problem(rows: int = 6, columns: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(200, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator), (inputs.T @ inputs).double()


def plainly(weight: torch.Tensor, moments: torch.Tensor, bits: int, damping: float) -> np.ndarray[Any, Any]:
    """Equation 2 a column at a time: the inverse of what is left of the Hessian is taken anew for each."""
    w, h = weight.double().numpy().copy(), moments.numpy().copy()
    h += damping * np.diag(h).mean() * np.eye(len(h))
    scale, zero = (one.double().numpy() for one in Rounding(bits, symmetric=False, search=False).fit(weight))
    for column in range(w.shape[1]):
        inverse = np.linalg.inv(h[column:, column:])
        code = np.clip(np.round(w[:, column] / scale + zero), 0, 2**bits - 1)
        lost = w[:, column] - (code - zero) * scale
        w[:, column:] -= np.outer(lost / inverse[0, 0], inverse[0])
    return w


def harm(of: torch.Tensor, weight: torch.Tensor, moments: torch.Tensor) -> float:
    lost = (of - weight).double()
    return float((lost @ moments * lost).sum())


def test_columns_are_rounded_as_the_equation_has_it() -> None:
    weight, moments = problem()
    stored = Gptq(bits=3, group_size=None, search=False).quantized(weight, moments)
    expected = plainly(weight, moments, 3, damping=0.01)
    np.testing.assert_allclose(stored.weight().numpy(), expected, rtol=1e-3, atol=2e-3)


def test_with_independent_inputs_nothing_can_be_made_up_for() -> None:
    weight, _ = problem()
    stored = Gptq(bits=4, group_size=8, search=False).quantized(weight, torch.eye(16, dtype=torch.float64) * 7)
    nearest = stored_matrix(weight, Rounding(4, symmetric=False, search=False), 8)
    assert torch.equal(stored.weight(), nearest.weight())


@pytest.mark.parametrize("options", [
    {"group_size": None}, {"group_size": 8}, {"group_size": 12}, {"order": "power"}, {"symmetric": True},
], ids=str)  # fmt: skip
def test_outputs_change_less_than_by_rounding_to_the_nearest(options: dict[str, Any]) -> None:
    weight, moments = problem(rows=64)
    method = Gptq.model_validate({"bits": 3, "group_size": 8, **options})
    rounding = Rounding(3, method.symmetric, method.search)
    nearest = stored_matrix(weight, rounding, method.group_size).weight()
    assert harm(method.quantized(weight, moments).weight(), weight, moments) < 0.8 * harm(nearest, weight, moments)


def test_an_input_that_is_always_zero_does_no_harm() -> None:
    weight, moments = problem()
    moments[3], moments[:, 3] = 0, 0
    stored = Gptq(bits=8, group_size=None).quantized(weight, moments).weight()
    torch.testing.assert_close(stored, weight, rtol=0, atol=0.05)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(24, 24) for _ in range(3)])
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = torch.relu(block(x))
        out: torch.Tensor = self.head(x)
        return out


@pytest.fixture
def case(process_state: None) -> tuple[Any, Workshop]:
    inputs = torch.randn(256, 24, generator=torch.Generator().manual_seed(1)) @ torch.randn(
        24, 24, generator=torch.Generator().manual_seed(2)
    )
    split = TensorSplit(inputs, torch.zeros(256, dtype=torch.int64))

    def make() -> Subject:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Subject(Form.TORCH, Network().eval(), (inputs[:1],))

    from pathlib import Path

    from harness.tasks.image_classification import ImageClassification

    return make, Workshop(ImageClassification(), Dataset(split, None), Path(), 0, lambda _: None)


def test_a_network_is_stored_in_three_bits_a_weight(case: Any, weigh: Any) -> None:
    make, workshop = case
    method = Gptq(bits=3, group_size=8)
    before, quantized = weigh(make()), method.apply(make(), workshop)
    after = weigh(quantized)
    assert quantized.form is Form.WEIGHT_ONLY
    assert method.contradictions(before.evidence, after.evidence) == []
    assert coded(after.evidence) == {
        "blocks.0.matrix": 576, "blocks.1.matrix": 576, "blocks.2.matrix": 576, "head.matrix": 120,
    }  # fmt: skip
    assert method.contradictions(before.evidence, before.evidence) == [
        "none of the 1,848 weight elements is stored in codes"
    ]
    kept = Gptq(bits=3, group_size=8, keep_float=("head",))
    left = weigh(kept.apply(make(), workshop))
    assert kept.contradictions(before.evidence, left.evidence) == []
    assert method.contradictions(before.evidence, left.evidence) == [
        "1 linear layers are still in float and were not to be kept: head.weight"
    ]


def test_steps_may_take_one_part_each(case: Any) -> None:
    make, workshop = case
    first = Gptq(bits=4, group_size=8, targets=("blocks",)).apply(make(), workshop)
    second = Gptq(bits=8, group_size=None).apply(first, workshop)
    assert [part.matrix.grid.bits for part in (*second.model.blocks, second.model.head)] == [4, 4, 4, 8]


def test_what_it_lacks_is_said(case: Any) -> None:
    make, workshop = case
    with pytest.raises(MethodError, match="gptq calibrates on data: the spec needs `data:`"):
        Gptq().apply(make(), replace(workshop, data=None))
    with pytest.raises(MethodError, match="no linear layer is left to quantize"):
        Gptq(keep_float=("blocks", "head")).apply(make(), workshop)
