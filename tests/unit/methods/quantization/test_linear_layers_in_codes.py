"""What the evidence says of networks whose linear layers alone are stored in codes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.gptq import Gptq
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
