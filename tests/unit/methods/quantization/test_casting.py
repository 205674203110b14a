from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.quantization.bfloat16 import BFloat16
from harness.methods.quantization.float16 import Float16


@pytest.mark.parametrize(("method", "dtype", "precision"), [(Float16(), "float16", 11), (BFloat16(), "bfloat16", 8)])
def test_file_halves_and_every_weight_is_rounded_to_the_type(
    method: Any, dtype: str, precision: int, subject: Any, workshop: Any, weigh: Any, digits: Any
) -> None:
    original = {name: one.clone() for name, one in subject().model.state_dict().items()}
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    assert after.bytes / before.bytes == pytest.approx(0.5, abs=0.01)
    assert after.evidence.dtypes == {dtype: before.evidence.dtypes["float32"]}
    assert method.contradictions(before.evidence, after.evidence) == []
    cast = method.apply(subject(), workshop).model.model.state_dict()
    for name, one in original.items():
        # Rounding to nearest errs by at most half a unit in the last place: 2 ** -precision of a normal number.
        assert bool(((cast[name].float() - one).abs() <= one.abs() * 2.0**-precision + 2.0**-25).all())
    assert after.accuracy(digits) == pytest.approx(before.accuracy(digits), abs=0.003)


@pytest.mark.parametrize("method", [Float16(), BFloat16()])
def test_no_op_and_repetition_are_contradicted(method: Any, subject: Any, workshop: Any, weigh: Any) -> None:
    before = weigh(subject()).evidence
    assert method.contradictions(before, before) == [f"none of the 61,470 weight elements is {method.method}"]
    after = weigh(method.apply(subject(), workshop)).evidence
    assert "already" in method.contradictions(after, after)[0]


def test_layer_left_in_float_is_counted(subject: Any, workshop: Any, weigh: Any) -> None:
    class Partly(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model.fc3(self.model[:-1](x.half()).float())

    half = subject().model.half()
    half.fc3.float()
    after = weigh(subject(Partly(half))).evidence
    sentences = Float16().contradictions(weigh(subject()).evidence, after)
    assert sentences == ["840 of 61,470 weight elements are still float32"]


def test_weight_beyond_the_range_of_float16_is_refused(subject: Any, workshop: Any) -> None:
    large = subject()
    with torch.no_grad():
        large.model.fc2.bias[0] = 7e4
    with pytest.raises(MethodError, match=r"fc2\.bias reaches 70000, and float16 ends at 65504"):
        Float16().apply(large, workshop)
    BFloat16().apply(large, workshop)


def test_whole_numbers_go_in_unchanged(workshop: Any, subject: Any) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding.from_pretrained(torch.arange(3000.0).view(3000, 1))

        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.table(tokens), tokens

    found = Float16().apply(subject(Words(), torch.zeros(1, 1, dtype=torch.int64)), workshop).model
    # 2049 is no float16: a token cast on the way in would look up 2048.
    value, tokens = found(torch.tensor([[2047, 2049]]))
    assert tokens.tolist() == [[2047, 2049]]
    assert (value.flatten().tolist(), value.dtype) == ([2047.0, 2048.0], torch.float32)
