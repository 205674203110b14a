"""Weights in 8 and 4 bits, on a graph whose rounding can be worked out by hand."""

import logging
from pathlib import Path

import pytest
import torch

from harness.artifacts.openvino import import_openvino
from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.quantization.weight_only import WeightOnly
from harness.runtimes.openvino import OpenVino
from harness.runtimes.torch import Torch
from harness.tasks.base import TASKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def subject():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(256, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
    return Subject(Form.TORCH, model.eval(), (torch.randn(2, 256, generator=torch.Generator().manual_seed(1)),))


def evidence(subject, folder):
    folder.mkdir()
    OpenVino().save(subject, folder)
    return OpenVino().load(folder, 1).evidence()


def outputs(subject):
    compiled = import_openvino().compile_model(subject.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return torch.from_numpy(next(iter(compiled([subject.example[0].numpy()]).values())))


def test_eight_bits_leave_outputs_within_the_rounding_of_a_row(subject, tmp_path):
    lowered = lower(subject, Form.OPENVINO)
    before, expected = evidence(lowered, tmp_path / "float"), outputs(lowered)
    method = WeightOnly()
    compressed = method.apply(lowered, None)
    after = evidence(compressed, tmp_path / "int8")
    assert method.contradictions(before, after) == []
    assert after.share("uint8", "int8") == 1.0
    weight = subject.model[2].weight.detach()
    # Half a step of the last layer's rows, times what enters it, bounds the error from that layer alone.
    step = (weight.max(1).values - weight.min(1).values) / 255
    hidden = torch.relu(subject.model[0](subject.example[0])).detach().abs().sum(1)
    bound = 0.5 * step[None] * hidden[:, None]
    assert ((outputs(compressed) - expected).abs() <= 2 * bound).all()


def test_four_bits_are_stored_where_asked_for_and_eight_do_not_claim_them(subject, tmp_path):
    lowered = lower(subject, Form.OPENVINO)
    before = evidence(lowered, tmp_path / "float")
    method = WeightOnly(bits=4, group_size=64, all_layers=True)
    after = evidence(method.apply(lowered, None), tmp_path / "int4")
    assert after.share("uint4", "int4") == 1.0
    assert method.contradictions(before, after) == []
    assert method.contradictions(before, before) == [
        f"none of the {256 * 128 + 128 * 64:,} weight elements is stored in 4 bits"
    ]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"all_layers": True}, "all_layers is for 4 bits"),
        ({"ratio": 0.5}, "ratio, awq, scale_estimation and gptq are for 4 bits"),
        ({"awq": True}, "ratio, awq, scale_estimation and gptq are for 4 bits"),
    ],
)
def test_what_is_for_four_bits_is_refused_with_eight(option, told):
    with pytest.raises(ValueError, match=told):
        WeightOnly(bits=8, **option)


@pytest.mark.parametrize(("options", "bits"), [({}, [8, 8]), ({"bits": 4, "group_size": 64}, [4, 8]),
    ({"bits": 4, "all_layers": True, "symmetric": True}, [4, 4])])  # fmt: skip
def test_a_torch_module_is_rounded_within_half_a_step_of_each_group(subject, tmp_path, options, bits):
    expected = [subject.model[place].weight.detach().clone() for place in (0, 2)]
    folder = tmp_path / "float"
    folder.mkdir()
    Torch().save(subject, folder)
    before = Torch().load(folder, 1).evidence()
    method = WeightOnly(**options)
    packed = method.apply(subject, None)
    assert packed.form is Form.WEIGHT_ONLY
    assert [packed.model[place].matrix.grid.bits for place in (0, 2)] == bits
    for place, wide in zip((0, 2), expected, strict=True):
        matrix = packed.model[place].matrix
        groups = wide.view(len(wide), matrix.grid.groups, matrix.grid.group)
        step = matrix.scales.float()[..., None]
        lost = (matrix.weight().view_as(groups) - groups).abs()
        # float16 rounds a scale by up to 2 ** -11 of itself, which is felt at the ends of the range.
        assert bool((lost <= step * (1.0 + 2**matrix.grid.bits * 2**-11)).all())
        assert float(lost.mean() / step.mean()) == pytest.approx(0.25, abs=0.02)
    folder = tmp_path / "packed"
    folder.mkdir()
    Torch().save(packed, folder)
    runner = Torch().load(folder, 1)
    assert method.contradictions(before, runner.evidence()) == []
    assert method.contradictions(before, before) != []
    with torch.no_grad():
        torch.testing.assert_close(runner(subject.example)[0], packed.model(*subject.example), rtol=1e-4, atol=1e-5)


def test_layers_that_are_kept_stay_in_float_on_openvino_too(subject, tmp_path):
    lowered = lower(subject, Form.OPENVINO)
    before = evidence(lowered, tmp_path / "float")
    method = WeightOnly(keep_float=("0",))
    after = evidence(method.apply(lowered, None), tmp_path / "int8")
    assert {one.name: one.dtype for one in after.matrices} == {"0.weight": "float32", "2.weight": "uint8"}
    # Four fifths of the weights, which were to stay.
    assert method.contradictions(before, after) == []
    assert WeightOnly().contradictions(before, after) == [
        f"only 20% of {256 * 128 + 128 * 64:,} weight elements are stored in so few bits"
    ]
    with pytest.raises(MethodError, match=r"keep_float: the model has no layer '1'"):
        WeightOnly(keep_float=("1",)).apply(lower(subject, Form.OPENVINO), None)


@pytest.fixture
def workshop(subject):
    inputs = torch.randn(16, 256, generator=torch.Generator().manual_seed(2))
    split = TensorSplit(inputs, torch.zeros(16, dtype=torch.int64))
    return Workshop(TASKS["image-classification"](), Dataset(split, None), Path(), 0, lambda _: None)


def test_awq_that_finds_nothing_to_scale_is_told(subject, workshop, tmp_path):
    """It scales what enters the second layer, behind the activation, which takes 8 bits unless all layers take 4."""
    with pytest.raises(MethodError, match=r"awq scales what enters a layer that takes 4 bits, .* leave `awq` out"):
        WeightOnly(bits=4, group_size=64, awq=True).apply(lower(subject, Form.OPENVINO), workshop)
    method = WeightOnly(bits=4, group_size=64, awq=True, all_layers=True)
    scaled = evidence(method.apply(lower(subject, Form.OPENVINO), workshop), tmp_path / "awq")
    assert scaled.share("uint4", "int4") == 1.0
    assert logging.getLogger("nncf").filters == []
