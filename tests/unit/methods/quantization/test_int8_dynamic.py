from typing import Any

import pytest
import torch
from torch import nn

from harness.forms import Form
from harness.methods.quantization.int8_dynamic import Int8Dynamic

LINEAR, CONVOLUTIONS = 400 * 120 + 120 * 84 + 84 * 10, 25 * 6 + 25 * 6 * 16


@pytest.mark.parametrize("per_channel", [True, False])
def test_linear_layers_are_int8_and_convolutions_are_not(
    per_channel: bool, subject: Any, workshop: Any, weigh: Any, digits: Any
) -> None:
    method = Int8Dynamic(per_channel=per_channel)
    before = weigh(subject())
    quantized = method.apply(subject(), workshop)
    after = weigh(quantized)
    assert quantized.form is Form.TORCH_INT8
    assert after.evidence.dtypes == {"float32": CONVOLUTIONS, "int8": LINEAR}
    assert after.evidence.operators["quantized::linear_dynamic"] == 3
    assert method.contradictions(before.evidence, after.evidence) == []
    batch = next(workshop.data.calibration.batches(4)).inputs
    assert after.runner.macs(batch) == before.runner.macs(batch)
    assert after.accuracy(digits) >= before.accuracy(digits) - 0.01
    weight = subject().model.fc1.weight.detach()
    error = (quantized.model.fc1.weight().dequantize() - weight).abs()
    # Rounding errs by half a step, and 255 steps span twice the largest magnitude of a channel, or of the layer.
    reach = weight.abs().amax(dim=1, keepdim=True) if per_channel else weight.abs().max()
    assert bool((error <= reach / 127.5 / 2 * 1.01).all())


def test_recurrent_layers_are_quantized_too(subject: Any, workshop: Any, weigh: Any) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.gru, self.head = nn.LSTM(16, 32), nn.GRU(32, 32), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(self.lstm(x.transpose(0, 1))[0])[0][-1])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build = Reader()
    example = torch.ones(1, 8, 16)
    before = weigh(subject(build, example))
    after = weigh(Int8Dynamic().apply(subject(build, example), workshop))
    matrices = 4 * 32 * (16 + 32) + 3 * 32 * (32 + 32) + 32 * 4
    assert before.evidence.dtypes == {"float32": matrices}
    assert after.evidence.dtypes == {"int8": matrices}
    assert Int8Dynamic().contradictions(before.evidence, after.evidence) == []
    assert before.runner.macs((example,)) == after.runner.macs((example,)) == 8 * (matrices - 128) + 128


def test_model_without_linear_layers_and_half_done_work_are_contradicted(
    subject: Any, workshop: Any, weigh: Any
) -> None:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    before = weigh(subject(model))
    after = weigh(Int8Dynamic().apply(subject(model), workshop))
    assert Int8Dynamic().contradictions(before.evidence, after.evidence) == [
        "none of the 36 weight elements is int8: the model has 0 linear or recurrent layers"
    ]
    lenet = weigh(subject()).evidence
    assert "the model has 3 linear" in Int8Dynamic().contradictions(lenet, lenet)[0]
    partly = weigh(Int8Dynamic().apply(subject(), workshop)).evidence
    partly = partly.model_copy(update={"operators": {**partly.operators, "aten::linear": 1}})
    assert Int8Dynamic().contradictions(lenet, partly) == ["1 of 3 linear and recurrent layers still run in float"]
