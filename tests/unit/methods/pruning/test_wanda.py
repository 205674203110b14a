"""Wanda against its paper's one line of code, and on a network of blocks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.wanda import Wanda
from harness.tasks.image_classification import ImageClassification

GENERATOR = torch.Generator().manual_seed(4)
WEIGHT, INPUTS = torch.randn(7, 12, generator=GENERATOR), torch.randn(50, 12, generator=GENERATOR) * torch.arange(12)


def plainly(weight: torch.Tensor, inputs: torch.Tensor, sparsity: float) -> torch.Tensor:
    """The paper's listing 1."""
    metric = weight.abs() * inputs.norm(p=2, dim=0)
    _, order = torch.sort(metric, dim=1)
    pruned = weight.clone()
    pruned.scatter_(dim=1, index=order[:, : round(weight.shape[1] * sparsity)], src=torch.zeros_like(weight))
    return pruned


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
def test_weights_go_as_the_paper_has_it(sparsity: float) -> None:
    gone = Wanda(sparsity=sparsity).gone(WEIGHT, INPUTS.norm(dim=0).double())
    assert torch.equal(WEIGHT.masked_fill(gone, 0), plainly(WEIGHT, INPUTS, sparsity))


def test_of_every_four_neighbours_two_are_left() -> None:
    norms = INPUTS.norm(dim=0).double()
    gone = Wanda(n=2, m=4).gone(WEIGHT, norms)
    scores = (WEIGHT.abs() * norms).view(7, 3, 4)
    least = scores.sort(dim=-1).values[..., 1:2]
    assert torch.equal(gone.view(7, 3, 4), scores <= least)
    assert not bool(Wanda(n=2, m=5).gone(WEIGHT, norms).any())


def test_zeros_that_are_there_count_first() -> None:
    weight = WEIGHT.clone()
    weight[:, 11] = 0
    gone = Wanda(sparsity=0.25).gone(weight, INPUTS.norm(dim=0).double())
    assert bool(gone[:, 11].all())
    assert gone.sum().item() == 7 * 3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 24)
        self.blocks = nn.ModuleList([nn.Linear(24, 24) for _ in range(3)])
        self.head = nn.Linear(24, 30, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.words(ids)
        for block in self.blocks:
            hidden = torch.relu(block(hidden))
        out: torch.Tensor = self.head(hidden)
        return out


@pytest.fixture
def workshop(process_state: None) -> Workshop:
    ids = torch.randint(0, 30, (40, 9), generator=torch.Generator().manual_seed(1))
    return Workshop(ImageClassification(), Dataset(TensorSplit(ids, ids[:, 0]), None), Path(), 0, lambda _: None)


def case() -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Network().eval()
        # Inputs of different strength, without which magnitude would do.
        with torch.no_grad():
            model.words.weight *= torch.logspace(-1, 1, 24)
            for block in model.blocks:
                block.weight /= torch.logspace(-1, 1, 24)
    return Subject(Form.TORCH, model, (torch.arange(9).view(1, 9),))


def test_a_network_of_blocks_loses_half_of_every_row(workshop: Workshop, weigh: Any) -> None:
    method = Wanda(sparsity=0.5)
    before, pruned = weigh(case()), method.apply(case(), workshop)
    after = weigh(pruned)
    for block in pruned.model.blocks:
        assert bool(((block.weight == 0).sum(dim=1) == 12).all())
    assert not bool((pruned.model.words.weight == 0).any()), "the head is tied to the embedding"
    assert method.contradictions(before.evidence, after.evidence) == []
    assert method.contradictions(before.evidence, before.evidence) == [
        f"0 of 576 weights in blocks.{index}.weight are zero (0.00%), and 50.00% of each row was asked for"
        for index in range(3)
    ]
    assert len(Wanda(n=1, m=4).contradictions(before.evidence, after.evidence)) == 3
    assert weigh(method.apply(case(), workshop)).content == after.content


def test_outputs_change_less_than_by_magnitude(workshop: Workshop) -> None:
    assert workshop.data is not None
    ids = next(workshop.data.calibration.batches(40)).inputs[0]
    with torch.no_grad():
        expected = case().model(ids)
        ours = Wanda(sparsity=0.5).apply(case(), workshop).model(ids)
        plain = MagnitudePruning(sparsity=0.5, scope="layer", keep=("head",)).apply(case(), workshop).model(ids)
    assert float((ours - expected).norm()) < 0.8 * float((plain - expected).norm())


def test_what_it_cannot_do_is_said(workshop: Workshop) -> None:
    for options in ({}, {"sparsity": 0.5, "n": 2, "m": 4}, {"n": 2}):
        with pytest.raises(ValidationError, match="give either `sparsity`, or `n` and `m`"):
            Wanda.model_validate(options)
    with pytest.raises(ValidationError, match="n 4 leaves every one of m 4 weights"):
        Wanda(n=4, m=4)
    with pytest.raises(MethodError, match="no linear layer is left to prune"):
        Wanda(sparsity=0.5, keep=("blocks",)).apply(case(), workshop)
    with pytest.raises(MethodError, match="calibrates on data: the spec needs `data:`"):
        Wanda(sparsity=0.5).apply(case(), Workshop(workshop.task, None, Path(), 0, lambda _: None))


@pytest.mark.parametrize("copied", [False, True])
def test_on_openvino_a_tied_output_layer_is_left_alone_too(copied: bool) -> None:
    """It is looked up and multiplied with there, or has a layer of its own where the graph has copied it."""

    def fact(name: str, zeros: int, *roles: Role) -> TensorFact:
        return TensorFact(name=name, dtype="float32", shape=(30, 24), zeros=zeros, roles=roles)

    words = [fact("words.weight", 0, Role.LOOKED_UP, Role.MULTIPLIED)]
    before = Evidence(operators={}, tensors=(*words, fact("fc.weight", 0, Role.MULTIPLIED)))
    found = [fact("words.weight", 0, Role.LOOKED_UP), fact("head.weight", 0, Role.MULTIPLIED)] if copied else words
    after = Evidence(operators={}, tensors=(*found, fact("fc.weight", 360, Role.MULTIPLIED)))
    assert Wanda(sparsity=0.5).contradictions(before, after) == []
    assert Wanda(sparsity=0.6).contradictions(before, after) == [
        "360 of 720 weights in fc.weight are zero (50.00%), and 60.00% of each row was asked for"
    ]
