from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.errors import MethodError
from harness.forms import Form, Subject
from harness.methods.base import METHODS
from harness.methods.quantization.float16 import Float16
from harness.methods.quantization.int8_static import Int8Static
from harness.zoo.resnet import resnet18


def calibrated(workshop: Any) -> torch.Tensor:
    return torch.cat([batch.inputs[0] for batch in workshop.data.calibration.batches(64)])


def test_resnet_takes_a_quarter_of_the_bytes_and_reloads_bit_for_bit(subject: Any, workshop: Any, weigh: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet18(width=0.25)
    before = weigh(subject(model))
    quantized = Int8Static(observer="minmax").apply(subject(model), workshop)
    after = weigh(quantized)
    assert quantized.form is Form.TORCH_INT8
    assert 0.25 < after.bytes / before.bytes <= 0.27
    batch = next(workshop.data.calibration.batches(8)).inputs
    with torch.no_grad():
        assert torch.equal(after.runner(batch)[0], quantized.model(*batch))
    assert after.evidence.share("int8") == 1
    assert after.evidence.kernels == {"i8": 17 + 3 + 1}
    assert after.runner.macs(batch) == before.runner.macs(batch)
    assert Int8Static().contradictions(before.evidence, after.evidence) == []


def test_trained_model_keeps_its_accuracy(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    before, after = weigh(subject()), weigh(Int8Static().apply(subject(), workshop))
    assert before.accuracy(digits) > 0.98
    assert after.accuracy(digits) >= before.accuracy(digits) - 0.01
    assert after.bytes / before.bytes < 0.30


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_rounded_on_the_symmetric_grid_of_krishnamoorthi(
    per_channel: bool, subject: Any, workshop: Any
) -> None:
    weight = subject().model.fc2.weight.detach()
    quantized = Int8Static(per_channel=per_channel).apply(subject(), workshop).model
    # 255 steps span twice the largest magnitude.
    scale = (weight.abs().amax(dim=1, keepdim=True) if per_channel else weight.abs().max()) / 127.5
    expected = (weight / scale).round().clamp(-128, 127).to(torch.int8)
    stored = quantized.fc2.weight().int_repr()
    assert (stored != expected).float().mean() < 1e-3  # the observer divides in another order
    assert (stored.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(("options", "steps"), [({}, 127), ({"reduce_range": False}, 255), ({"engine": "onednn"}, 255)])
def test_input_scale_spans_the_calibrated_extremes(
    options: dict[str, Any], steps: int, subject: Any, workshop: Any
) -> None:
    if options.get("engine") not in (None, *torch.backends.quantized.supported_engines):
        pytest.skip("this torch has no onednn engine")
    samples = calibrated(workshop)
    low, high = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    model = Int8Static(observer="minmax", **options).apply(subject(), workshop).model
    assert float(model.conv1_input_scale_0) == pytest.approx((high - low) / steps, rel=1e-5)


def test_moving_average_sees_the_batches_in_order(subject: Any, workshop: Any) -> None:
    low = high = None
    for batch in workshop.data.calibration.batches(32):
        least, most = float(batch.inputs[0].min()), float(batch.inputs[0].max())
        low = least if low is None else low + 0.01 * (least - low)
        high = most if high is None else high + 0.01 * (most - high)
    assert low is not None
    assert high is not None
    model = Int8Static(observer="moving-average").apply(subject(), workshop).model
    assert float(model.conv1_input_scale_0) == pytest.approx((max(high, 0) - min(low, 0)) / 127, rel=1e-4)


def test_kept_layers_stay_float_and_only_they(subject: Any, workshop: Any, weigh: Any) -> None:
    before = weigh(subject("resnet20-digits"))
    # As YAML gives it: a list.
    method = METHODS["int8-static"].model_validate({"keep_float": ["stages.0.0", "fc"], "observer": "minmax"})
    after = weigh(method.apply(subject("resnet20-digits"), workshop))
    kept = 2 * (16 * 16 * 9) + 64 * 10
    assert after.evidence.dtypes["float32"] == kept
    assert method.contradictions(before.evidence, after.evidence) == []
    assert Int8Static().contradictions(before.evidence, after.evidence)[0].startswith(f"{kept:,} of 270,608 ")


def test_no_op_is_contradicted(subject: Any, weigh: Any) -> None:
    evidence = weigh(subject()).evidence
    assert Int8Static().contradictions(evidence, evidence) == ["none of the 61,470 weight elements is int8"]


def test_unknown_layer_is_refused_with_the_closest(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match=r"keep_float: the model has no layer 'con1'\. Did you mean 'conv1'\?"):
        Int8Static(keep_float=("con1",)).apply(subject(), workshop)


def test_options_of_the_other_runtime_are_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(
        MethodError,
        match="preset, model_type, smooth_quant_alpha of int8-static cannot be set for a torch module",
    ):
        Int8Static(preset="mixed", model_type="transformer", smooth_quant_alpha=0.5).apply(subject(), workshop)
    with pytest.raises(MethodError, match="observer of int8-static cannot be set for an OpenVINO model"):
        Int8Static(observer="minmax").apply(replace(subject(), form=Form.OPENVINO), workshop)


def test_shortened_weights_and_missing_data_are_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match="takes float32 weights, and the model has float16: put it first"):
        Int8Static().apply(Float16().apply(subject(), workshop), workshop)
    with pytest.raises(MethodError, match="calibrates on data"):
        Int8Static().apply(subject(), replace(workshop, data=None))


def test_control_flow_that_fx_cannot_follow_is_refused(workshop: Any) -> None:
    class Loud(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum() > 0 else x

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loud = Loud(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.loud(x) if x.sum() > 0 else x

    with pytest.raises(MethodError, match="cannot follow this model's control flow"):
        Int8Static().apply(Subject(Form.TORCH, Wrapped().eval(), (torch.ones(1, 4),)), workshop)


@pytest.mark.parametrize("options", [{"observer": "percentile"}, {"engine": "tpu"}, {"smooth_quant_alpha": 1.5}])
def test_options_outside_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Int8Static.model_validate(options)


def test_smoothing_that_nncf_would_leave_out_is_refused() -> None:
    """It smooths where the model is said to be a transformer, and nowhere else."""
    with pytest.raises(ValidationError, match="smooth_quant_alpha is for `model_type: transformer`"):
        Int8Static(smooth_quant_alpha=0.5)
    assert Int8Static(model_type="transformer", smooth_quant_alpha=0.5).smooth_quant_alpha == 0.5
    assert METHODS.meant("smoothquant") == ["{method: int8-static, model_type: transformer, smooth_quant_alpha: 0.5}"]


def test_a_product_of_activations_is_counted_in_int8_as_in_float(subject: Any, workshop: Any, weigh: Any) -> None:
    """What has no weights saved nothing: counted as nothing, it would pass a `max_ratio` of the multiplications."""

    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32 * 32, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            rows = images.flatten(1, 2)
            return self.head(torch.matmul(self.query(rows), self.key(rows).transpose(1, 2)).flatten(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Mixing()
    before, after = weigh(subject(model)), weigh(Int8Static().apply(subject(model), workshop))
    assert after.evidence.operators["quantized::matmul"] == 1
    batch = next(workshop.data.calibration.batches(4)).inputs
    macs = 4 * (2 * 32 * 32 * 32 + 32 * 32 * 32 + 32 * 32 * 10)
    assert before.runner.macs(batch) == after.runner.macs(batch) == macs
