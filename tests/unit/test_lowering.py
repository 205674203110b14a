import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from harness.artifacts.openvino import import_openvino, layers
from harness.errors import MethodError, Unforeseen
from harness.forms import LOWERINGS, Form, Subject
from harness.lowering import EDGES, lower

pytestmark = [
    # OpenVINO calls deprecated parts of torch while it converts.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


class Twins(nn.Module):
    """Two branches of equal shape whose normalizations are folded into them, and a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = (
            nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)) for _ in range(2)
        )
        self.shared = nn.Linear(8, 8)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.weight)
                nn.init.normal_(part.running_mean)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # The right branch comes first in the graph, so the order of definition does not tell them apart.
        mixed = self.right(images).relu() + self.left(images).relu()
        return self.shared(self.shared(mixed.mean((2, 3))).relu())


@pytest.fixture
def example() -> tuple[torch.Tensor, ...]:
    return (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),)


def run(model: object, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    compiled = import_openvino().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    )
    return torch.from_numpy(compiled([each.numpy() for each in inputs])[0])


def test_every_edge_of_the_routes_has_its_function():
    assert set(EDGES) == {(start, end) for start, ends in LOWERINGS.items() for end in ends}


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("form", [Form.TORCH, Form.EXPORTED])
def test_a_converted_model_answers_as_torch_does_at_any_batch_size(form, batch, example):
    module = Twins().eval()
    model = module if form is Form.TORCH else torch.export.export(module, example)
    lowered = lower(Subject(form, model, example), Form.OPENVINO)
    images = torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(run(lowered.model, (images,)), module(images), rtol=1e-4, atol=1e-5)
    assert lowered.model.inputs[0].get_partial_shape().to_string() == "[?,3,8,8]"


@pytest.mark.parametrize("form", [Form.TORCH, Form.EXPORTED])
def test_layers_bear_the_names_of_their_modules_also_where_a_normalization_was_folded_in(form, example):
    module = Twins().eval()
    model = module if form is Form.TORCH else torch.export.export(module, example)
    lowered = lower(Subject(form, model, example), Form.OPENVINO)
    named = {node.get_friendly_name(): weight.array() for node, weight in layers(lowered.model)}
    # Folding multiplies channel c by gamma_c / sqrt(variance_c + epsilon).
    for name in ("left", "right"):
        convolution, norm = getattr(module, name)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        expected = (convolution.weight * scale[:, None, None, None]).detach().numpy()
        np.testing.assert_allclose(named[f"{name}.0"], expected, rtol=1e-5)
    if form is Form.TORCH:
        assert set(named) == {"left.0", "right.0", "shared", "shared.2"}


def test_the_form_that_a_subject_has_is_itself(example):
    subject = Subject(Form.TORCH, Twins().eval(), example)
    assert lower(subject, Form.TORCH) is subject


def test_a_way_that_does_not_exist_is_refused(example):
    with pytest.raises(MethodError, match="no way from the TorchScript program to the OpenVINO model"):
        lower(Subject(Form.TORCHSCRIPT, None, example), Form.OPENVINO)


def test_a_model_that_the_converter_refuses_says_why(example):
    class Refused(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such layer")

    with pytest.raises(Unforeseen, match=r"module does not convert to the OpenVINO model.*no such layer") as error:
        lower(Subject(Form.TORCH, Refused(), example), Form.OPENVINO)
    assert "no such layer" in str(error.value.__cause__)


def test_a_refusal_that_says_why_is_no_failure_of_the_conversion(example, monkeypatch):
    def refuses(subject):
        raise MethodError("no operator for it")

    monkeypatch.setitem(EDGES, (Form.TORCH, Form.OPENVINO), refuses)
    with pytest.raises(MethodError, match="does not convert to the OpenVINO model: no operator for it") as error:
        lower(Subject(Form.TORCH, Twins(), example), Form.OPENVINO)
    assert not isinstance(error.value, Unforeseen)


def test_openvino_is_imported_with_its_telemetry_off():
    # In a process of its own: which test imported what before must not matter.
    code = (
        "from harness.artifacts.openvino import import_openvino; import_openvino()\n"
        "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
