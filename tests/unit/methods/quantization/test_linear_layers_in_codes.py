"""What the evidence says of networks whose linear layers alone are stored in codes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from harness.artifacts.decoder_counts import facts
from harness.artifacts.torchscript_operators import roles_of
from harness.errors import MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.forms import Form, Subject
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.grouping import left_float
from harness.methods.quantization.weight_only import WeightOnly
from harness.sources.heads import inner_language_model, language_model

# What transformers itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize(
    "method", [WeightOnly(bits=4, group_size=16), Gptq(group_size=16), BnbNf4()], ids=lambda method: method.method
)
def test_convolutions_are_no_linear_layers_that_were_left_in_float(
    method: Any, subject: Any, workshop: Any, weigh: Any
) -> None:
    """LeNet-5 has 2,550 weights in two convolutions, which stay in float, and 58,920 in three linear layers."""
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    convolutions = [one for one in after.evidence.matrices if len(one.shape) == 4]
    assert sum(one.elements for one in convolutions) == 2_550
    assert {one.dtype for one in convolutions} == {"float32"}
    assert method.contradictions(before.evidence, after.evidence) == []
    assert method.contradictions(before.evidence, before.evidence) != []


def test_on_openvino_an_output_layer_that_is_an_embedding_is_no_linear_layer_that_was_left_in_float() -> None:
    def fact(name: str, dtype: str, *roles: Role) -> TensorFact:
        return TensorFact(name=name, dtype=dtype, shape=(60, 24), zeros=0, roles=roles)

    tied = fact("words.weight", "float32", Role.LOOKED_UP, Role.MULTIPLIED)
    layer = fact("fc.weight", "uint8", Role.MULTIPLIED)
    before = Evidence(operators={}, tensors=(tied, fact("fc.weight", "float32", Role.MULTIPLIED)))
    after = before.model_copy(update={"tensors": (tied, layer)})
    copied = (fact("words.weight", "float32", Role.LOOKED_UP), fact("head.weight", "float32", Role.MULTIPLIED), layer)
    assert left_float(before, after, ()) == []
    assert left_float(before, before.model_copy(update={"tensors": copied}), ()) == []
    alone = Evidence(operators={}, tensors=(*copied[:2], fact("fc.weight", "float32", Role.MULTIPLIED)))
    assert left_float(alone, alone.model_copy(update={"tensors": copied}), ()) == [
        "1 linear layers are still in float and were not to be kept: head.weight"
    ]


def stored(name: str, shape: tuple[int, ...], *kinds: str) -> TensorFact:
    """As evidence of torch has it that these operators use; where there are none, nothing is known of it."""
    return TensorFact(name=name, dtype="float32", shape=shape, zeros=0, used_by=kinds, roles=roles_of(kinds))


def test_matrices_in_no_linear_layer_are_told_and_what_is_no_matrix_is_not() -> None:
    codes = TensorFact(name="fc.matrix.codes8", dtype="uint8", shape=(60, 24), zeros=0, roles=())
    left = [stored("experts.up", (4, 24, 48)), stored("own", (24, 24)), stored("heads", (2, 24, 8), "aten::bmm")]
    others = [
        stored("router.weight", (4, 24)), stored("experts.bias", (4, 48)), stored("norm.weight", (24,)),
        stored("class_token", (1, 1, 24)), stored("places", (1, 17, 24)), stored("scale", (24, 1)),
        stored("bias_table", (3, 16, 16), "aten::add"), stored("conv.weight", (8, 8, 3), "aten::_convolution"),
        stored("words.weight", (60, 24), "aten::embedding"), stored("cell.weight", (96, 24), "aten::lstm"),
    ]  # fmt: skip
    after = Evidence(operators={}, tensors=(codes, *others, *left))
    assert left_float(after, after, ()) == [
        "3 weight matrices are in no linear layer, as experts may be, and so in float: experts.up, own, heads. This "
        "step does not store them in codes; where they are to stay in float, say so: "
        "`keep_float: [experts.up, own, heads]`"
    ]
    assert left_float(after, after, ("experts", "own", "heads")) == []
    assert left_float(after, after, (), ("fc",)) == []


def experts() -> Subject:
    config = MixtralConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = language_model(MixtralForCausalLM(config).eval())
    return Subject(Form.TORCH, module, (torch.zeros(1, 8, dtype=torch.int64),))


def counted(subject: Subject) -> Evidence:
    return Evidence(operators={}, tensors=facts(inner_language_model(subject.model)))


def test_experts_that_stay_in_float_are_told_and_can_be_kept(workshop: Any) -> None:
    """Three quarters of the weights: transformers holds all experts of a layer in one tensor of three axes."""
    places = tuple(f"language_model.model.layers.{number}.mlp.experts" for number in range(2))
    before, after = counted(experts()), counted(WeightOnly().apply(experts(), workshop))
    for method in (Gptq, BnbNf4):
        (sentence,) = method().contradictions(before, after)
        assert sentence.startswith(
            "4 weight matrices are in no linear layer, as experts may be, and so in float: "
            f"{places[0]}.gate_up_proj, {places[0]}.down_proj, {places[1]}.gate_up_proj, …. This step does not"
        )
        assert method(keep_float=places).contradictions(before, after) == []
    assert WeightOnly().contradictions(before, after) != []
    method = WeightOnly(keep_float=places)
    assert method.contradictions(before, counted(method.apply(experts(), workshop))) == []
    with pytest.raises(MethodError, match=r"keep_float: the model has no layer 'experts'"):
        BnbNf4(keep_float=("experts",)).apply(experts(), workshop)


def test_a_convolution_of_a_language_model_is_told_from_a_matrix() -> None:
    found = facts(nn.Sequential(nn.Conv1d(4, 6, 3), nn.Linear(6, 5)))
    assert [(one.used_by, one.roles) for one in found if one.matrix] == [
        (("Conv1d",), (Role.CONVOLVED, Role.MULTIPLIED)), (("Linear",), (Role.MULTIPLIED,)),
    ]  # fmt: skip


def test_layers_and_embeddings_that_are_kept_stay_in_float(subject: Any, workshop: Any, weigh: Any) -> None:
    method = WeightOnly(keep_float=("fc1",))
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    assert {one.name: one.dtype for one in after.evidence.matrices if "fc" in one.name} == {
        "fc1.weight": "float32", "fc2.matrix.codes8": "uint8", "fc3.matrix.codes8": "uint8",
    }  # fmt: skip
    # Of 61,470 weights fc1 has 48,000: what is left is 13,470, of which the two convolutions have 2,550.
    assert method.contradictions(before.evidence, after.evidence) == []
    assert WeightOnly().contradictions(before.evidence, after.evidence) == [
        "only 18% of 61,470 weight elements are stored in codes",
        "1 linear layers are still in float and were not to be kept: fc1.weight",
    ]
    with pytest.raises(MethodError, match="weight-only: no linear or embedding layer is left to quantize"):
        WeightOnly(keep_float=("fc1", "fc2", "fc3")).apply(subject(), workshop)
    with pytest.raises(MethodError, match=r"keep_float: the model has no layer 'fc4'\. Did you mean"):
        WeightOnly(keep_float=("fc4",)).apply(subject(), workshop)
