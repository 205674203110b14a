import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.artifacts.openvino import layers
from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.quantization.float16 import Float16
from harness.methods.quantization.int8_static import Int8Static
from harness.runtimes.base import Runner
from harness.runtimes.openvino import OpenVino
from harness.tasks.base import TASKS

pytestmark = [
    # OpenVINO and NNCF call deprecated parts of torch while they import and convert.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:nncf"),
]
LINEAR, SECOND = 48 * 32, 32 * 10


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def workshop() -> Workshop:
    data = Dataset(calibration=TensorSplit(images(64), torch.zeros(64, dtype=torch.int64)), evaluation=None)
    return Workshop(TASKS["image-classification"](), data, Path(), 0, lambda _: None)


@pytest.fixture
def subject() -> Subject:
    return lower(Subject(Form.TORCH, network(), (images(2),)), Form.OPENVINO)


def reloaded(subject: Subject, folder: Path) -> Runner:
    OpenVino().save(subject, folder)
    return OpenVino().load(folder, threads=1)


def stored(evidence: Evidence) -> dict[str, str]:
    return {tensor.name: tensor.dtype for tensor in evidence.matrices}


def test_every_layer_is_stored_and_run_in_int8(subject, workshop, tmp_path):
    runner = reloaded(Int8Static().apply(subject, workshop), tmp_path)
    evidence = runner.evidence()
    assert evidence.dtypes == {"int8": 12 * 9 + LINEAR + SECOND}
    assert evidence.kernels == {"i8": 3}
    assert Int8Static().contradictions(evidence, evidence) == []


def test_answers_stay_within_the_rounding_of_eight_bits(subject, workshop, tmp_path):
    runner = reloaded(Int8Static().apply(subject, workshop), tmp_path)
    inputs = images(256, seed=9)
    with torch.no_grad():
        expected = network()(inputs)
    error = (runner((inputs,))[0] - expected).pow(2).mean().sqrt() / expected.std()
    assert 1e-4 < error < 0.15


def test_rounding_is_to_the_nearest_of_the_scale_that_spans_each_channel(subject, workshop, tmp_path):
    (weight,) = [
        tensor
        for tensor in Int8Static().apply(subject, workshop).model.get_ops()
        if tensor.get_type_name() == "Constant" and tuple(tensor.get_output_shape(0)) == (10, 32)
    ]
    original = network()[6].weight.detach().numpy()
    scale = np.abs(original).max(axis=1, keepdims=True) / 127
    assert np.abs(weight.data - original / scale).max() <= 1


def test_it_does_as_many_multiply_accumulates_as_the_float_graph(subject, workshop, tmp_path):
    inputs = (images(3),)
    closed = 3 * (4 * 4 * 12 * 9 + LINEAR + SECOND)
    runner = reloaded(Int8Static().apply(subject, workshop), tmp_path)
    assert runner.macs(inputs) == closed


@pytest.mark.parametrize(
    ("kept", "left"), [(("4",), {"4.weight"}), (("0", "6"), {"0.weight", "6.weight"}), ((), set())]
)
def test_layers_that_are_to_stay_in_float_do(kept, left, subject, workshop, tmp_path):
    method = Int8Static(keep_float=kept)
    evidence = reloaded(method.apply(subject, workshop), tmp_path).evidence()
    assert {name for name, dtype in stored(evidence).items() if dtype == "float32"} == left
    assert method.contradictions(evidence, evidence) == []


def test_a_layer_that_is_not_there_is_refused_with_the_closest(workshop):
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(x)

    subject = lower(Subject(Form.TORCH, Named(), (torch.ones(1, 4),)), Form.OPENVINO)
    with pytest.raises(MethodError, match=r"no layer 'clasifier'. Did you mean 'classifier'\?"):
        Int8Static(keep_float=("clasifier",)).apply(subject, workshop)


def test_it_refuses_to_calibrate_on_nothing(subject, workshop):
    with pytest.raises(MethodError, match="needs `data:`"):
        Int8Static().apply(subject, replace(workshop, data=None))


def test_the_same_calibration_gives_the_same_bytes(workshop, tmp_path):
    written = []
    for name in ("first", "second"):
        subject = lower(Subject(Form.TORCH, network(), (images(2),)), Form.OPENVINO)
        (tmp_path / name).mkdir()
        reloaded(Int8Static().apply(subject, workshop), tmp_path / name)
        written.append([(tmp_path / name / file).read_bytes() for file in ("model.bin", "model.xml")])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "mixed"},
        {"fast_bias_correction": False},
        {"model_type": "transformer"},
        {"model_type": "transformer", "smooth_quant_alpha": 0.5},
    ],
)
def test_options_of_nncf_reach_it(options, subject, workshop, tmp_path):
    method = Int8Static(**options)
    evidence = reloaded(method.apply(subject, workshop), tmp_path).evidence()
    assert evidence.share("int8", "uint8") == 1


@pytest.mark.parametrize(
    ("fix", "largest"), [("none", (127, 127, 127)), ("first-layer", (63, 127, 127)), ("all", (63, 63, 63))]
)
def test_the_overflow_fix_takes_a_bit_from_the_layers_it_names(fix, largest, subject, workshop):
    model = Int8Static(overflow_fix=fix).apply(subject, workshop).model
    assert tuple(int(np.abs(weight.array()).max()) for _, weight in layers(model)) == largest


def test_it_is_silent(subject, workshop, capfd):
    Int8Static().apply(subject, workshop)
    assert capfd.readouterr().out == ""


def test_float16_halves_the_constants_and_computes_in_float32(subject, workshop, tmp_path):
    (tmp_path / "float").mkdir()
    (tmp_path / "half").mkdir()
    reloaded(subject, tmp_path / "float")
    runner = reloaded(Float16().apply(subject, workshop), tmp_path / "half")
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("float", "half")]
    assert abs(sizes[0] - 2 * sizes[1]) < 100
    evidence = runner.evidence()
    assert evidence.share("float16") == 1
    assert evidence.kernels == {"f32": 3}
    # Rounding every parameter to float16 and computing in float32 is all that happens.
    inputs = images(8, seed=3)
    with torch.no_grad():
        expected = network().half().float()(inputs)
    torch.testing.assert_close(runner((inputs,))[0], expected, rtol=1e-5, atol=1e-6)


def test_nncf_sends_no_telemetry():
    # In a process of its own: which test imported what before must not matter.
    code = (
        "from harness.artifacts.openvino import import_openvino; import_openvino()\n"
        "import sys, nncf; print(sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
