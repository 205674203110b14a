"""What operators do with what is stored, as those who read each format say it: steps are held to that alone."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harness.artifacts import openvino_operators, torchscript_operators
from harness.evidence import Role, TensorFact
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.runtimes.base import RUNTIMES

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
    # OpenVINO reads deprecated attributes of torch while it is imported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

CONVOLVED, INDEXED, LOOKED_UP, MULTIPLIED, STACKED = (
    Role.CONVOLVED, Role.INDEXED, Role.LOOKED_UP, Role.MULTIPLIED, Role.STACKED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("aten::linear", {MULTIPLIED}),
        ("quantized::linear_relu", {MULTIPLIED}),
        ("quantized::linear_dynamic", {MULTIPLIED}),
        ("aten::addmm", {MULTIPLIED}),
        ("aten::_transformer_encoder_layer_fwd", {MULTIPLIED}),
        ("aten::_native_multi_head_attention", {MULTIPLIED}),
        ("aten::_convolution", {CONVOLVED, MULTIPLIED}),
        ("quantized::conv2d_relu", {CONVOLVED, MULTIPLIED}),
        ("torchvision::deform_conv2d", {CONVOLVED}),
        ("aten::matmul", {MULTIPLIED, STACKED}),
        ("aten::bmm", {STACKED}),
        ("aten::_grouped_mm", {STACKED}),
        ("aten::select", {STACKED}),
        ("aten::embedding", {LOOKED_UP}),
        ("quantized_decomposed::embedding_4bit", {LOOKED_UP}),
        ("aten::index", {INDEXED, STACKED}),
        ("aten::_unsafe_index", {INDEXED}),
        ("aten::to", set()),
        ("aten::add", set()),
        ("aten::lstm", set()),
    ],
)
def test_an_operator_of_torch_does_what_its_name_says(kind: str, expected: set[Role]) -> None:
    assert set(torchscript_operators.roles_of([kind]) or ()) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Convolution", {CONVOLVED, MULTIPLIED}),
        ("ConvolutionBackpropData", {CONVOLVED, MULTIPLIED}),
        ("GroupConvolution", {CONVOLVED, MULTIPLIED}),
        ("GroupConvolutionBackpropData", {CONVOLVED, MULTIPLIED}),
        ("DeformableConvolution", {CONVOLVED}),
        ("MatMul", {MULTIPLIED, STACKED}),
        ("Einsum", {STACKED}),
        ("Gather", {LOOKED_UP}),
        ("LSTMSequence", set()),
        ("Add", set()),
    ],
)
def test_an_operator_of_openvino_does_what_its_table_says(kind: str, expected: set[Role]) -> None:
    assert set(openvino_operators.roles_of([kind], "fc.weight") or ()) == expected


def test_a_tensor_that_several_operators_take_has_the_roles_of_all() -> None:
    assert torchscript_operators.roles_of(("aten::embedding", "aten::linear")) == (LOOKED_UP, MULTIPLIED)
    assert openvino_operators.roles_of(("Gather", "MatMul"), "words.weight") == (LOOKED_UP, MULTIPLIED, STACKED)


def test_that_nothing_is_done_is_not_that_nothing_is_known() -> None:
    assert torchscript_operators.roles_of(()) is openvino_operators.roles_of((), "fc.weight") is None
    assert torchscript_operators.roles_of(("aten::add",)) == openvino_operators.roles_of(("Add",), "places.scale") == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("words.weight", LOOKED_UP),
        ("Gather_3.weight", INDEXED),
        ("aten::index/Gather.weight", INDEXED),
        ("aten::embedding/Gather.weight", LOOKED_UP),
    ],
)
def test_a_gather_that_bears_no_layers_name_indexes_a_buffer(name: str, expected: Role) -> None:
    assert openvino_operators.roles_of(("Gather",), name) == (expected,)


class Words(nn.Module):
    """An embedding, a convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv, self.fc = nn.Embedding(50, 8), nn.Conv1d(8, 6, 3), nn.Linear(6, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.fc(torch.relu(self.conv(self.words(tokens).transpose(1, 2))).mean(2))
        return answers


@pytest.mark.parametrize("runtime", ["torch", "packed", "openvino"])
def test_a_model_has_the_same_roles_whatever_runs_it(runtime: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        subject = Subject(Form.TORCH, Words().eval(), (torch.arange(12).view(2, 6),))
    deploy = RUNTIMES[runtime](runtime=runtime)
    deploy.save(lower(subject, Form.OPENVINO) if runtime == "openvino" else subject, tmp_path)
    matrices = deploy.load(tmp_path, 1).evidence().matrices
    # A product of matrices is a way to multiply with a stack of them too.
    found = {one.shape[0]: set(one.roles or ()) - {STACKED} for one in matrices}
    assert found == {50: {LOOKED_UP}, 6: {CONVOLVED, MULTIPLIED}, 5: {MULTIPLIED}}


def test_a_report_tells_the_operators_and_not_what_they_do() -> None:
    fact = TensorFact(name="w", dtype="int8", shape=(2, 2), zeros=0, used_by=("aten::linear",), roles=(MULTIPLIED,))
    assert fact.model_dump(mode="json")["used_by"] == ["aten::linear"]
    assert "roles" not in fact.model_dump(mode="json")
    read = TensorFact.model_validate_json(fact.model_dump_json())
    assert (read.used_by, read.roles) == (("aten::linear",), None)
