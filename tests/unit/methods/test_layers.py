import pytest
from torch import nn

from harness.errors import MethodError
from harness.evidence import TensorFact
from harness.methods.layers import below, chosen, multiplied, weighted


def fact(name: str, *used_by: str, shape: tuple[int, ...] = (4, 4), weight: bool = True) -> TensorFact:
    return TensorFact(name=name, dtype="float32", shape=shape, zeros=0, weight=weight, used_by=used_by)


def test_a_name_chooses_a_layer_or_a_module_and_never_a_namesake() -> None:
    present = ["stem", "block.1.conv", "block.10.conv", "block.1.fc", "blocks"]
    assert chosen("keep", ["block.1"], present) == {"block.1.conv", "block.1.fc"}
    assert chosen("keep", ["blocks", "stem"], present) == {"blocks", "stem"}
    assert chosen("keep", [], present) == set()
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'Stem2'\. Did you mean 'stem'\?"):
        chosen("keep", ["Stem2"], present)
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'zzz'\. Its layers are stem, block"):
        chosen("keep", ["zzz"], present)


def test_stored_tensors_belong_to_their_layer_under_any_prefix() -> None:
    assert below("block.1.conv.weight", ["block.1"])
    assert below("model.block.1.conv.weight", ["block.1"])
    assert not below("block.10.conv.weight", ["block.1"])
    assert not below("block.1.conv.weight", [])


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


def test_multiplied_weights_are_told_by_the_operators_that_use_them() -> None:
    held = [
        fact("conv.weight", "aten::_convolution", shape=(4, 4, 3, 3)),
        fact("fc.weight", "quantized::linear_relu"),
        fact("unknown.weight"),
    ]
    others = [
        fact("table.weight", "aten::embedding"),
        fact("fc.bias", "aten::linear", shape=(4,)),
        fact("running", "aten::linear", weight=False),
    ]
    assert multiplied([*others, *held]) == held
