"""An embedding that is the output layer too, fitted to what that layer answers: held to GPTQ of the layer untied."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.grouping import coded
from harness.tasks.image_classification import ImageClassification

TOKENS, WIDTH, LENGTH = 60, 24, 12


class Language(nn.Module):
    """Token and position embeddings, a mixing layer, and a head that is the token embedding, or a layer of its own."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)
        if tied:
            self.head.weight = self.tokens.weight
        else:
            self.head.weight = nn.Parameter(self.tokens.weight.detach().clone())

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        # A few directions carry most of the power, as they do in a real model.
        scale = torch.logspace(0, -1.5, WIDTH)
        mixed: torch.Tensor = self.layer(self.tokens(ids) + self.positions(torch.arange(ids.shape[1])))
        return torch.tanh(mixed) * scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.hidden(ids))
        return out


IDS = torch.randint(0, TOKENS, (50, LENGTH), generator=torch.Generator().manual_seed(7))
Case = tuple[Callable[..., Subject], Workshop]


@pytest.fixture
def case(process_state: None) -> Case:
    def make(tied: bool = True) -> Subject:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Subject(Form.TORCH, Language(tied).eval(), (IDS[:1],))

    split = TensorSplit(IDS, torch.zeros(50, dtype=torch.int64))
    return make, Workshop(ImageClassification(), Dataset(split, None), Path(), 0, lambda _: None)


def fitted(case: Case, **options: Any) -> Any:
    make, workshop = case
    method = EmbeddingQuantization.model_validate({"bits": 4, "group_size": 8, "fit": "outputs", **options})
    return method.apply(make(), workshop).model


def test_a_tied_matrix_is_what_gptq_makes_of_the_same_layer_untied(case: Case) -> None:
    make, workshop = case
    untied = Gptq(bits=4, group_size=8, targets=("head",)).apply(make(tied=False), workshop).model
    made = fitted(case)
    torch.testing.assert_close(made.tokens.matrix.weight(), untied.head.matrix.weight(), rtol=1e-5, atol=1e-6)


def test_the_output_layer_answers_nearer_than_after_rounding_to_the_nearest(case: Case) -> None:
    make, workshop = case
    model = make().model
    with torch.no_grad():
        hidden = model.hidden(IDS).flatten(0, 1)
    weight = model.tokens.weight.detach()
    nearest = EmbeddingQuantization(bits=4, group_size=8).apply(make(), workshop).model

    def lost(made: Any) -> float:
        return float((hidden @ (made.tokens.matrix.weight() - weight).T).square().sum())

    def moved(made: Any) -> float:
        return float((made.tokens.matrix.weight() - weight).square().sum())

    free, damped = fitted(case, damping=0.01), fitted(case, damping=3)
    assert lost(free) < 0.7 * lost(nearest)
    # What is won there is paid for in the rows themselves, which damping spares.
    assert moved(nearest) < moved(damped) < moved(free)
    assert lost(free) < lost(damped) < lost(nearest)


def test_damped_without_end_it_is_rounding_to_the_nearest(case: Case) -> None:
    make, workshop = case
    nearest = EmbeddingQuantization(bits=4, group_size=8).apply(make(), workshop).model
    made = fitted(case, damping=1e9)
    assert torch.equal(made.tokens.matrix.weight(), nearest.tokens.matrix.weight())


def test_an_embedding_without_an_output_layer_is_rounded_to_the_nearest(case: Case) -> None:
    make, workshop = case
    nearest = EmbeddingQuantization(bits=4, group_size=8).apply(make(), workshop).model
    made = fitted(case)
    assert torch.equal(made.positions.matrix.weight(), nearest.positions.matrix.weight())
    assert not torch.equal(made.tokens.matrix.weight(), nearest.tokens.matrix.weight())


def test_the_matrix_is_stored_once_and_borne_out(case: Case, weigh: Any) -> None:
    make, workshop = case
    method = EmbeddingQuantization(bits=4, group_size=8, fit="outputs")
    before, after = weigh(make()), weigh(method.apply(make(), workshop))
    assert coded(after.evidence) == {"tokens.matrix": TOKENS * WIDTH, "positions.matrix": LENGTH * WIDTH}
    assert method.contradictions(before.evidence, after.evidence) == []


def test_what_it_lacks_is_said(case: Case) -> None:
    make, workshop = case
    method = EmbeddingQuantization(fit="outputs")
    with pytest.raises(MethodError, match="with `fit: outputs` calibrates on data: the spec needs `data:`"):
        method.apply(make(), replace(workshop, data=None))
    with pytest.raises(MethodError, match="no output layer is tied to positions, so that there are no answers to fit"):
        method.apply(make(tied=False), workshop)
    with pytest.raises(ValueError, match="damping is for `fit: outputs`"):
        EmbeddingQuantization(damping=0.1)


@pytest.mark.parametrize(("fit", "filled"), [("weights", 0), ("outputs", 1)])
def test_zeros_that_fitting_has_filled_are_missed_behind_the_codes(
    case: Case, weigh: Any, fit: Any, filled: int
) -> None:
    make, workshop = case
    pruning = MagnitudePruning(sparsity=0.5, scope="layer")
    method = EmbeddingQuantization(bits=8, fit=fit)
    before = weigh(make()).evidence
    after = weigh(method.apply(pruning.apply(make(), workshop), workshop)).evidence
    found = pruning.contradictions(before, after)
    assert len(found) == filled
    assert all("weights in tokens.matrix" in one and "50.00% was asked for" in one for one in found)
    # The layer that alone was to be spared is the embedding, by its other name.
    assert MagnitudePruning(sparsity=0.5, scope="layer", keep=("head",)).contradictions(before, after) == []


class Scaled(nn.Embedding):
    """As Gemma's embeddings are."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids) * 24**0.5


@pytest.mark.parametrize(("kind", "factor"), [(nn.Embedding, 1.0), (Scaled, 24**0.5)])
def test_rows_that_are_zero_do_not_tell_what_rows_are_multiplied_by(case: Case, kind: Any, factor: float) -> None:
    make, workshop = case
    subject = make(tied=False)
    table = kind(TOKENS, WIDTH, _weight=subject.model.tokens.weight.detach().clone())
    with torch.no_grad():
        table.weight[:4] = 0
    subject.model.tokens = table.eval()
    expected = table(IDS).detach()
    made = EmbeddingQuantization(bits=8).apply(subject, workshop).model
    assert made.tokens.description.multiplier == pytest.approx(factor, rel=1e-6)
    assert float((made.tokens(IDS) - expected).norm()) < 0.01 * float(expected.norm())


def test_an_embedding_of_zeros_alone_is_multiplied_by_one(case: Case) -> None:
    make, workshop = case
    subject = make()
    with torch.no_grad():
        subject.model.positions.weight.zero_()
    made = EmbeddingQuantization(bits=8).apply(subject, workshop).model
    assert made.positions.description.multiplier == 1.0
    assert not bool(made.positions(torch.arange(LENGTH)).any())


def test_a_float_embedding_beside_codes_is_told_on_openvino_too() -> None:
    def fact(name: str, dtype: str, *roles: Role) -> TensorFact:
        return TensorFact(name=name, dtype=dtype, shape=(60, 24), zeros=0, roles=roles)

    both = Role.LOOKED_UP, Role.MULTIPLIED
    others = fact("places.weight", "float32", Role.LOOKED_UP), fact("layer.weight", "float32", Role.MULTIPLIED)
    before = Evidence(operators={}, tensors=(fact("tokens.weight", "float32", *both), *others))
    after = Evidence(operators={}, tensors=(fact("tokens.weight", "uint8", *both), *others))
    method = EmbeddingQuantization()
    assert method.contradictions(before, after) == ["1 embeddings are still in float: places.weight"]
    assert EmbeddingQuantization(keep_float=("places",)).contradictions(before, after) == []
