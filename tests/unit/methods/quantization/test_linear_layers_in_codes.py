"""What the evidence says of networks whose linear layers alone are stored in codes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.evidence import Evidence, TensorFact
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.grouping import left_float
from harness.methods.quantization.weight_only import WeightOnly


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
    def fact(name: str, dtype: str, *used_by: str) -> TensorFact:
        return TensorFact(name=name, dtype=dtype, shape=(60, 24), zeros=0, used_by=used_by)

    tied, layer = fact("words.weight", "float32", "Gather", "MatMul"), fact("fc.weight", "uint8", "MatMul")
    before = Evidence(operators={}, tensors=(tied, fact("fc.weight", "float32", "MatMul")))
    after = before.model_copy(update={"tensors": (tied, layer)})
    copied = (fact("words.weight", "float32", "Gather"), fact("head.weight", "float32", "MatMul"), layer)
    assert left_float(before, after, ()) == []
    assert left_float(before, before.model_copy(update={"tensors": copied}), ()) == []
    alone = Evidence(operators={}, tensors=(*copied[:2], fact("fc.weight", "float32", "MatMul")))
    assert left_float(alone, alone.model_copy(update={"tensors": copied}), ()) == [
        "1 linear layers are still in float and were not to be kept: head.weight"
    ]
