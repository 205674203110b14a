from typing import Any

import pytest
import torch
from torch import nn

from harness.artifacts.openvino import facts
from harness.errors import MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.layers import below, chosen, multiplied, multiplied_or_coded, of_embedding, weighted
from harness.methods.low_rank.svd import Svd
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.quantization.int8_static import Int8Static

CONVOLVED = (Role.CONVOLVED, Role.MULTIPLIED)
TIED = (Role.LOOKED_UP, Role.MULTIPLIED)


def fact(name: str, *roles: Role, shape: tuple[int, ...] = (4, 4), weight: bool = True) -> TensorFact:
    """A stored tensor; of one without roles the runtime does not tell."""
    return TensorFact(name=name, dtype="float32", shape=shape, zeros=0, weight=weight, roles=roles or None)


def test_a_name_chooses_a_layer_or_a_module_and_never_a_namesake() -> None:
    present = ["stem", "block.1.conv", "block.10.conv", "block.1.fc", "blocks"]
    assert chosen("keep", ["block.1"], present) == {"block.1.conv", "block.1.fc"}
    assert chosen("keep", ["blocks", "stem"], present) == {"blocks", "stem"}
    assert chosen("keep", [], present) == set()
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'Stem2'\. Did you mean 'stem'\?"):
        chosen("keep", ["Stem2"], present)
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'zzz'\. Its layers are stem, block"):
        chosen("keep", ["zzz"], present)


def test_stored_tensors_belong_to_their_layer_also_inside_of_what_a_step_has_put_around_the_model() -> None:
    assert below("block.1.conv.weight", ["block.1"])
    assert below("model.block.1.conv.weight", ["block.1"])
    assert below("model.model.block.1.conv.weight", ["block.1"])
    assert below("model.0.conv.weight", ["model.0"])
    assert below("fc.parametrizations.weight.original", ["fc"])
    assert not below("block.10.conv.weight", ["block.1"])
    assert not below("block.1.conv.weight", [])


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_stem_is_no_part_of_the_blocks_that_have_layers_of_its_name(prefix: str) -> None:
    """As in torchvision's ResNets."""
    names = ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "layer2.0.downsample.0.weight"]
    stored = [prefix + name for name in names]
    assert [below(one, ["conv1"]) for one in stored] == [True, False, False, False]
    assert [below(one, ["layer1.0.conv1"]) for one in stored] == [False, True, False, False]
    assert [below(one, ["layer1", "layer2.0"]) for one in stored] == [False, True, True, True]


class Stemmed(nn.Module):
    """A stem and a block whose layers bear one name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=4, padding=1)
        block = nn.Sequential()
        block.conv1, block.relu, block.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
        self.layer1, self.fc = nn.Sequential(block), nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.conv1(images))
        answers: torch.Tensor = self.fc((hidden + self.layer1(hidden)).mean((2, 3)))
        return answers


def stemmed() -> Stemmed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Stemmed().eval()


def test_factors_of_a_block_are_not_counted_as_those_of_the_stem(subject: Any, workshop: Any, weigh: Any) -> None:
    method = Svd(ratio=0.5)
    before, after = weigh(subject(stemmed())), weigh(method.apply(subject(stemmed()), workshop))
    assert any(one.name.startswith("layer1.0.conv1.") for one in after.evidence.matrices)
    assert method.contradictions(before.evidence, after.evidence) == []


def test_what_a_block_keeps_is_not_what_the_stem_keeps(subject: Any, workshop: Any, weigh: Any) -> None:
    method = MagnitudePruning(sparsity=0.5, keep=("conv1",))
    before, after = weigh(subject(stemmed())), weigh(method.apply(subject(stemmed()), workshop))
    assert method.contradictions(before.evidence, after.evidence) == []
    # Two convolutions of 576 weights and a layer of 80; the stem has 72.
    assert method.contradictions(before.evidence, before.evidence) == [
        "0 of 1,232 weights in the pruned layers are zero (0.00%), and 50.00% was asked for"
    ]


def test_a_block_in_float_is_not_excused_by_the_stem() -> None:
    def stored(name: str, dtype: str) -> TensorFact:
        return TensorFact(name=name, dtype=dtype, shape=(8, 9), zeros=0, roles=CONVOLVED)

    after = counted(
        stored("conv1.weight", "float32"), stored("layer1.0.conv1.weight", "float32"), stored("fc.weight", "int8")
    )
    assert Int8Static(keep_float=("conv1", "layer1.0.conv1")).contradictions(after, after) == []
    (sentence,) = Int8Static(keep_float=("conv1",)).contradictions(after, after)
    assert sentence.startswith("72 of 216 weight elements are not int8 and were not to be kept: layer1.0.conv1. ")


def test_weighted_layers_are_convolutions_linear_layers_and_attention() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Embedding(3, 4), nn.ConvTranspose2d(1, 2, 3))
    assert list(weighted(model)) == ["0", "3"]
    encoder = nn.TransformerEncoderLayer(8, 2, 16)
    assert {name: place[1] for name, place in weighted(encoder).items()} == {
        "self_attn": "in_proj_weight",
        "self_attn.out_proj": "weight",
        "linear1": "weight",
        "linear2": "weight",
    }


def test_multiplied_weights_are_those_of_which_a_runtime_says_so_or_does_not_tell() -> None:
    dense = TensorFact(name="dense.weight", dtype="float32", shape=(4, 4), zeros=0, used_by=("Dense",))
    held = [
        fact("conv.weight", *CONVOLVED, shape=(4, 4, 3, 3)),
        fact("fc.weight", Role.MULTIPLIED),
        fact("unknown.weight"),
        # A runtime of another distribution names its operators, and that is no role.
        dense,
    ]
    others = [
        fact("table.weight", Role.LOOKED_UP),
        fact("fc.bias", Role.MULTIPLIED, shape=(4,)),
        fact("running", Role.MULTIPLIED, weight=False),
        # It is known that nothing of all this is done with it.
        dense.model_copy(update={"roles": ()}),
    ]
    assert multiplied([*others, *held]) == held


def counted(*tensors: TensorFact) -> Evidence:
    return Evidence(operators={}, tensors=tensors)


def codes(name: str, *roles: Role, zeros: int = 5) -> TensorFact:
    """Sixteen weights in four bits, four a row."""
    return TensorFact(name=name, dtype="uint8", shape=(4, 2), zeros=zeros, weights=16, roles=roles)


@pytest.mark.parametrize("name", ["words.weight", "head.weight"])
def test_codes_of_an_embedding_that_is_the_output_layer_are_multiplied_with(name: str) -> None:
    before = counted(fact(name, *TIED), fact("fc.weight", Role.MULTIPLIED))
    after = counted(codes("words.matrix.codes4", Role.INDEXED), codes("fc.matrix.codes4", zeros=7))
    assert [(one.name, one.zeros, one.stands_for) for one in multiplied_or_coded(before, after)] == [
        ("words.matrix.codes4", 5, 16), ("fc.matrix.codes4", 7, 16),
    ]  # fmt: skip
    alone = counted(fact("words.weight", Role.LOOKED_UP), fact("fc.weight", Role.MULTIPLIED))
    assert [one.name for one in multiplied_or_coded(alone, after)] == ["fc.matrix.codes4"]


def test_what_lies_beside_a_layer_and_what_is_kept_are_left_out() -> None:
    linear = fact("fc.weight", Role.MULTIPLIED), fact("out.weight", Role.MULTIPLIED)
    before = counted(fact("words.weight", *TIED), *linear)
    after = counted(
        fact("words.weight", *TIED), fact("out.weight", Role.MULTIPLIED), codes("fc.base.matrix.codes4"),
        fact("fc.adapter_down.weight", Role.MULTIPLIED), fact("fc.adapter_up.weight", Role.MULTIPLIED),
    )  # fmt: skip
    every = ["words.weight", "out.weight", "fc.base.matrix.codes4"]
    assert [one.name for one in multiplied_or_coded(before, after)] == every
    assert [one.name for one in multiplied_or_coded(before, after, ["out"])] == [every[0], every[2]]
    # The output layer has no name of its own here: it is the embedding.
    assert [one.name for one in multiplied_or_coded(before, after, ["head"])] == every[1:]


def test_an_embedding_that_is_the_output_layer_may_be_stored_twice() -> None:
    """As OpenVINO does."""
    words, both = fact("words.weight", Role.LOOKED_UP), fact("words.weight", *TIED)
    head = fact("head.weight", Role.MULTIPLIED)
    assert of_embedding(words, counted(words))
    assert of_embedding(both, counted(both))
    # The graph has copied the matrix, and named the copy by the output layer.
    assert of_embedding(head, counted(both))
    # It was a matrix of its own, or is no copy of the embedding.
    assert not of_embedding(head, counted(words, head))
    assert not of_embedding(fact("other.weight", Role.MULTIPLIED, shape=(4, 5)), counted(both))


def test_a_table_of_positions_that_is_indexed_on_openvino_is_no_embedding() -> None:
    """A graph has a Gather for both; it is no parameter, and nothing quantizes it."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(50, 8)
            self.register_buffer("places", torch.linspace(-1, 1, 160).reshape(20, 8))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            places: torch.Tensor = self.places
            return (self.words(tokens) + places[torch.arange(tokens.shape[1])]).mean(1)

    subject = Subject(Form.TORCH, Words().eval(), (torch.zeros(2, 6, dtype=torch.int64),))
    gathered = [one for one in facts(lower(subject, Form.OPENVINO).model) if one.used_by == ("Gather",)]
    assert sorted(one.shape for one in gathered) == [(20, 8), (50, 8)]
    assert [one.name for one in gathered if one.plays(Role.LOOKED_UP)] == ["words.weight"]
