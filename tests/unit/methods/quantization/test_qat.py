import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.forms import Form
from harness.methods.base import Workshop
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.quantization.qat import Qat
from harness.training import Training

# Torch deprecates what its successor cannot replace; tests that look into its modules meet that themselves.
pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization is deprecated:DeprecationWarning", "ignore:.*quantized tensor:UserWarning"
)

SHORT = Training(epochs=4, learning_rate=0.005)


@pytest.fixture
def few(workshop: Workshop) -> Workshop:
    assert workshop.data is not None
    assert isinstance(workshop.data.train, TensorSplit)
    some = TensorSplit(workshop.data.train.inputs[:256], workshop.data.train.targets[:256])
    return replace(workshop, data=Dataset(workshop.data.calibration, None, some))


def codes(model: nn.Module, layer: str) -> torch.Tensor:
    weight = dict(model.named_modules())[layer].weight()  # type: ignore[operator]
    return weight.int_repr()


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (4, 7), (2, 1)])
def test_codes_span_what_the_bits_allow_and_no_more(bits: int, largest: int, few: Workshop, subject: Any) -> None:
    model = Qat(bits=bits, train=Training(learning_rate=0.005)).apply(subject(), few).model
    for layer in ("conv1", "conv2", "fc1", "fc2", "fc3"):
        each = codes(model, layer).abs().flatten(1).amax(1)
        # The largest weight of every channel sets its scale.
        assert bool((each == largest).all()), layer


def test_without_training_codes_are_the_rounded_weights(few: Workshop, subject: Any) -> None:
    model = Qat(bits=4, train=None, per_channel=True).apply(subject(), few).model
    weight = subject().model.fc1.weight.detach().numpy()
    scale = np.abs(weight).max(1, keepdims=True) / 7
    np.testing.assert_array_equal(codes(model, "fc1").numpy(), np.rint(weight / scale))
    whole = Qat(bits=4, train=None, per_channel=False).apply(subject(), few).model
    np.testing.assert_array_equal(codes(whole, "fc1").numpy(), np.rint(weight / (np.abs(weight).max() / 7)))


def test_layers_may_keep_eight_bits_or_float(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Qat(bits=3, eight_bits=("conv1", "fc3"), keep_float=("fc2",), train=None)
    result = method.apply(subject(), few)
    assert int(codes(result.model, "conv1").max()) == 127
    assert int(codes(result.model, "fc1").max()) == 3
    assert type(result.model.fc2[0]) is nn.Linear
    before, after = weigh(subject()), weigh(result)
    assert result.form is Form.TORCH_INT8
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(Qat(train=None).contradictions(before.evidence, after.evidence)) == 1
    (wide,) = Qat(bits=3, eight_bits=("conv1",), keep_float=("fc2",)).contradictions(before.evidence, after.evidence)
    assert re.fullmatch(r"fc3.weight has \d+ codes other than zero, and 3 bits have at most 6", wide)
    counted = {one.name: one.distinct for one in after.evidence.tensors if "int" in one.dtype and one.matrix}
    assert counted["fc1.weight"] == len(set(codes(result.model, "fc1").flatten().tolist()) - {0}) == 6
    assert method.contradictions(before.evidence, before.evidence) == ["none of the 61,470 weight elements is int8"]


def test_training_at_low_bits_beats_rounding_afterwards(few: Workshop, subject: Any, weigh: Any, digits: Any) -> None:
    rounded = weigh(Qat(bits=2, train=None).apply(subject(), few)).accuracy(digits)
    trained = weigh(Qat(bits=2, train=SHORT).apply(subject(), few)).accuracy(digits)
    assert trained > rounded + 0.05


def test_what_was_trained_is_what_is_converted(few: Workshop, subject: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation of the last step and the int8 program agree to a rounding step, batch normalization included."""
    from torch.ao.quantization import quantize_fx

    seen: dict[str, torch.Tensor] = {}
    convert = quantize_fx.convert_fx
    inputs = next(few.data.calibration.batches(32)).inputs[0] if few.data else torch.empty(0)

    def spying(prepared: Any, *arguments: Any, **options: Any) -> Any:
        seen["simulated"] = prepared.eval()(inputs)
        return convert(prepared, *arguments, **options)

    monkeypatch.setattr(quantize_fx, "convert_fx", spying)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
        )
    result = Qat(bits=4, engine="qnnpack", train=SHORT).apply(subject(net), few)
    gap = (result.model(inputs) - seen["simulated"]).abs().max() / seen["simulated"].abs().max()
    assert gap.item() < 0.1
    agreed = (result.model(inputs).argmax(1) == seen["simulated"].argmax(1)).float().mean()
    assert agreed.item() > 0.96


def test_zeros_of_pruning_stay(few: Workshop, subject: Any) -> None:
    pruned = MagnitudePruning(sparsity=0.7).apply(subject(), few)
    zeros = (pruned.model.fc1.weight == 0).clone()
    model = Qat(train=Training(learning_rate=0.005)).apply(pruned, few).model
    assert torch.count_nonzero(codes(model, "fc1")[zeros]) == 0


def test_the_same_twice(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Qat(bits=4, train=Training(learning_rate=0.005))
    assert weigh(method.apply(subject(), few)).content == weigh(method.apply(subject(), few)).content


def test_what_it_lacks_is_said(few: Workshop, subject: Any) -> None:
    with pytest.raises(MethodError, match="calibrates on data"):
        Qat().apply(subject(), replace(few, data=None))
    assert few.data is not None
    with pytest.raises(MethodError, match="it needs data with a training split"):
        Qat().apply(subject(), replace(few, data=replace(few.data, train=None)))

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(MethodError, match="cannot follow this model's control flow"):
        Qat(train=None).apply(subject(Branching()), few)
