"""Codes in bytes, and layers that are told by descriptions and rebuilt from them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.artifacts.narrow_codes import PIECES, pack, unpack
from harness.artifacts.quantized_layers import described, dump, parse, rebuild
from harness.errors import ArtifactError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.bnb_int8 import BnbInt8
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.weight_only import WeightOnly
from harness.tasks.image_classification import ImageClassification


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(PIECES)), st.integers(1, 5), st.integers(1, 40), st.integers(0, 99))
def test_codes_come_back_and_take_their_bits(bits: int, rows: int, columns: int, seed: int) -> None:
    codes = torch.randint(0, 2**bits, (rows, columns), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    pieces = pack(codes, bits)
    assert torch.equal(unpack(pieces, columns), codes)
    # A row's pieces are whole bytes: less than one is lost for each.
    assert rows * columns * bits / 8 <= sum(one.numel() for one in pieces.values()) < rows * (columns * bits / 8 + 3)


def test_six_bits_are_four_and_two() -> None:
    """39 = 10 0111: 0111 in the first piece, 10 in the second; the neighbour 1 lies above."""
    pieces = pack(torch.tensor([[39, 1]], dtype=torch.uint8), 6)
    assert pieces[4].tolist() == [[0b0001_0111]]
    assert pieces[2].tolist() == [[0b0000_0010]]


class Tied(nn.Module):
    """A language model's shape: a scaled embedding, a layer, and a head that is the embedding's matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(40, 24), nn.Linear(24, 24)
        self.head = nn.Linear(24, 40, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.layer(self.embedding(ids)))
        out: torch.Tensor = self.head(hidden)
        return out


def tied() -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Subject(Form.TORCH, Tied().eval(), (torch.arange(6).view(1, 6),))


STEPS = [
    [WeightOnly()],
    [WeightOnly(bits=4, group_size=8, all_layers=True)],
    [WeightOnly(bits=4, symmetric=True)],
    [BnbInt8(), EmbeddingQuantization(bits=5, group_size=8)],
    [BnbNf4(block=32), EmbeddingQuantization(bits=8)],
    [BnbNf4(block=32, double_quantization=False)],
]


@pytest.fixture
def workshop() -> Workshop:
    return Workshop(ImageClassification(), None, Path(), 0, lambda _: None)


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "+".join(step.method for step in steps))
def test_what_was_described_is_rebuilt_and_answers_bit_for_bit(steps, workshop) -> None:
    subject = tied()
    for step in steps:
        subject = step.apply(subject, workshop)
    assert subject.form is Form.WEIGHT_ONLY
    text = dump(described(subject.model))
    state = subject.model.state_dict()
    again = rebuild(Tied().eval(), parse(text))
    again.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(again(*subject.example), subject.model(*subject.example))


def test_a_tied_head_is_stored_once(workshop) -> None:
    model = EmbeddingQuantization(bits=4).apply(tied(), workshop).model
    assert model.head.matrix is model.embedding.matrix
    codes = [one for name, one in model.named_parameters() if "codes" in name]
    assert [tuple(one.shape) for one in codes] == [(40, 12)]
    assert torch.equal(model.head.matrix.weight()[7], model.embedding(torch.tensor([7]))[0])


def test_descriptions_that_say_something_else_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"layers\.json cannot be read"):
        parse('{"head": {"kind": "os.system"}}')
    lost = parse('{"nowhere.head": {"kind": "tied-linear", "to": "embedding", "bias": false}}')
    with pytest.raises(ArtifactError, match=r"names the layer nowhere\.head, which the architecture lacks"):
        rebuild(Tied(), lost)
    loose = parse('{"head": {"kind": "tied-linear", "to": "embedding", "bias": false}}')
    with pytest.raises(ArtifactError, match="tied to embedding, which is no quantized embedding"):
        rebuild(Tied(), loose)
