from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.artifacts.openvino import import_openvino, layers
from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import METHODS, Workshop
from harness.methods.quantization.int8_layerwise import Int8Layerwise, _Targets
from harness.methods.quantization.int8_static import Int8Static
from harness.methods.quantization.quantizers import bypass_quantizer
from harness.runtimes.base import Runner
from harness.runtimes.openvino import OpenVino
from harness.spec.requirements import missing
from harness.tasks.base import TASKS

pytestmark = [
    # OpenVINO and NNCF call deprecated parts of torch while they import and convert.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:nncf"),
]


def network() -> nn.Sequential:
    """One layer of each kind that is fitted, and a strided, a dilated and a padded one among them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU6(),
        nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.ReLU6(),
        nn.Conv2d(16, 24, 1), nn.ReLU6(),
        nn.Conv2d(24, 12, 3, groups=2, dilation=2), nn.ReLU6(),
        nn.Flatten(), nn.Linear(12 * 16, 10),
    ).eval()  # fmt: skip


def images(count: int, seed: int) -> torch.Tensor:
    smooth = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(smooth, size=16, mode="bilinear")


@pytest.fixture
def workshop() -> Workshop:
    data = Dataset(calibration=TensorSplit(images(96, 1), torch.zeros(96, dtype=torch.int64)), evaluation=None)
    return Workshop(TASKS["image-classification"](), data, Path(), 0, lambda _: None)


@pytest.fixture
def subject() -> Subject:
    return lower(Subject(Form.TORCH, network(), (images(2, 0),)), Form.OPENVINO)


def reloaded(subject: Subject, folder: Path) -> Runner:
    folder.mkdir(exist_ok=True)
    OpenVino().save(subject, folder)
    return OpenVino().load(folder, threads=1)


def error(runner: Runner) -> float:
    inputs = images(256, 7)
    with torch.no_grad():
        expected = network()(inputs)
    return float((runner((inputs,))[0] - expected).pow(2).mean().sqrt() / expected.std())


def test_it_is_registered():
    assert METHODS["int8-layerwise"] is Int8Layerwise


def test_it_loses_less_than_half_of_what_nncfs_default_loses_where_sums_saturate(subject, workshop, tmp_path):
    default = error(reloaded(Int8Static().apply(subject, workshop), tmp_path / "default"))
    fitted = error(reloaded(Int8Layerwise().apply(subject, workshop), tmp_path / "fitted"))
    # With VNNI no sum does, and there is as little to win as to lose.
    saturates = len(missing(["avx512_vnni", "avx_vnni"])) == 2
    assert fitted < (0.5 if saturates else 1.1) * default


def test_every_layer_is_stored_and_run_in_int8(subject, workshop, tmp_path):
    evidence = reloaded(Int8Layerwise().apply(subject, workshop), tmp_path).evidence()
    assert evidence.dtypes == {"int8": sum(one.numel() for one in network().parameters() if one.ndim > 1)}
    assert evidence.kernels == {"i8": 5}
    assert Int8Layerwise().contradictions(evidence, evidence) == []


def test_its_weights_decompress_to_nearly_those_of_the_float_layers(subject, workshop):
    # A strong pull leaves only rounding: a transposed or misplaced matrix would be off by all of itself.
    quantized = Int8Layerwise(ridge=1000, damping=1).apply(subject, workshop)
    originals = {node.get_friendly_name(): weight.array() for node, weight in layers(subject.model)}
    for node, weight in layers(quantized.model):
        scale = node.input_value(1).get_node().input_value(1).get_node().data
        original = originals[node.get_friendly_name()]
        assert np.linalg.norm(weight.array() * scale - original) < 0.06 * np.linalg.norm(original)


def test_what_the_processor_computes_is_what_the_integers_say(subject, workshop):
    # Sums that saturate are wrong on a processor without VNNI, whatever the weights; with none, simulation agrees.
    openvino = import_openvino()
    inputs = images(64, 3).numpy() * 3
    model = Int8Layerwise().apply(subject, workshop).model
    executed = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0].copy()
    for node, weight in layers(model):
        scale = node.input_value(1).get_node().input_value(1).get_node().data
        widened = openvino.op.Constant(weight.array().astype(np.float32) * scale)
        node.input(1).replace_source_output(widened.output(0))
    simulated = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]
    # A half at a quantizer may round to either side.
    assert np.abs(executed - simulated).max() < 0.02 * np.abs(simulated).max()


def test_means_of_the_answers_are_those_of_the_float_model(subject, workshop, tmp_path):
    runner = reloaded(Int8Layerwise().apply(subject, workshop), tmp_path)
    with torch.no_grad():
        expected = network()(images(96, 1))
    answers = runner((images(96, 1),))[0]
    assert float((answers.mean(0) - expected.mean(0)).abs().max() / expected.std()) < 0.01


def test_kept_layers_stay_in_float(subject, workshop, tmp_path):
    method = Int8Layerwise(keep_float=("0", "9"))
    evidence = reloaded(method.apply(subject, workshop), tmp_path).evidence()
    assert {one.name for one in evidence.matrices if one.dtype == "float32"} == {"0.weight", "9.weight"}
    assert method.contradictions(evidence, evidence) == []


def test_a_layer_with_float_inputs_keeps_its_int8_weights(subject, workshop, tmp_path):
    method = Int8Layerwise(float_inputs=("9",))
    evidence = reloaded(method.apply(subject, workshop), tmp_path).evidence()
    assert set(evidence.dtypes) == {"int8"}
    assert evidence.kernels == {"i8": 4, "f32": 1}
    assert evidence.operators["FakeQuantize"] == 4
    assert method.contradictions(evidence, evidence) == []


def test_a_layer_that_is_not_there_is_refused(subject, workshop):
    with pytest.raises(MethodError, match="float_inputs: the model has no layer 'classifier'"):
        Int8Layerwise(float_inputs=("classifier",)).apply(subject, workshop)


def test_tokens_and_layers_without_bias_are_fitted_too(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32, bias=False), nn.ReLU(), nn.Linear(32, 8)).eval()
    tokens = torch.randn(40, 7, 16, generator=torch.Generator().manual_seed(0))
    data = Dataset(calibration=TensorSplit(tokens, torch.zeros(40, dtype=torch.int64)), evaluation=None)
    workshop = Workshop(TASKS["image-classification"](), data, Path(), 0, lambda _: None)
    subject = lower(Subject(Form.TORCH, model, (tokens[:2],)), Form.OPENVINO)
    runner = reloaded(Int8Layerwise().apply(subject, workshop), tmp_path)
    with torch.no_grad():
        expected = model(tokens)
    assert float((runner((tokens,))[0] - expected).pow(2).mean().sqrt() / expected.std()) < 0.06


class ChannelsLast(nn.Module):
    """Linear layers over the places of a feature map, as ConvNeXt has them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        hidden = self.stem(x).permute(0, 2, 3, 1)
        return self.head((hidden + self.down(self.up(hidden).relu())).mean((1, 2)))


def test_linear_layers_over_a_feature_map_are_fitted_as_such(workshop, tmp_path):
    torch.manual_seed(0)
    model = ChannelsLast().eval()
    subject = lower(Subject(Form.TORCH, model, (images(2, 0),)), Form.OPENVINO)
    method = Int8Layerwise(positions=5)
    runner = reloaded(method.apply(subject, workshop), tmp_path)
    assert method.contradictions(runner.evidence(), runner.evidence()) == []
    inputs = images(256, 7)
    with torch.no_grad():
        expected = model(inputs)
    assert float((runner((inputs,))[0] - expected).pow(2).mean().sqrt() / expected.std()) < 0.15


def test_the_same_places_are_drawn_in_all_images_of_one_size(subject, workshop):
    """One draw a layer, in the layers' order: accepted figures rest on which places they are."""
    nodes = [node for node, _ in layers(subject.model)]
    targets = _Targets(subject.model, nodes, workshop.data.calibration, 5)
    generator = np.random.default_rng(0)
    for node, drawn, answers in zip(nodes, targets.places, targets.answers, strict=True):
        assert len(drawn) == len(answers) == 96 // 8
        if node.get_type_name() == "MatMul":
            assert drawn == [None] * 12
            assert {one.shape for one in answers} == {(8, 10)}
            continue
        shape = node.get_output_partial_shape(0)
        height, width = (shape[axis].get_length() for axis in (2, 3))
        expected = generator.permutation(height * width)[:5]
        for places, answered in zip(drawn, answers, strict=True):
            assert np.array_equal(places[:, 0] * width + places[:, 1], expected)
            assert answered.shape == (8 * len(expected), shape[1].get_length())


def test_it_refuses_to_calibrate_on_nothing(subject, workshop):
    with pytest.raises(MethodError, match="needs `data:`"):
        Int8Layerwise().apply(subject, replace(workshop, data=None))


def passing(kind: str, opset: Any, x: Any) -> Any:
    """An operator that changes no value, on (2, 4, 6, 6)."""
    whole = opset.constant([0, 0, 0, 0])
    return {
        "MaxPool": lambda: opset.max_pool(x, [1, 1], [1, 1], [0, 0], [0, 0], [2, 2]).output(0),
        "Pad": lambda: opset.pad(
            x, whole, opset.constant([0, 0, 1, 1]), "constant", opset.constant(0, np.float32)
        ).output(0),
        "Split": lambda: opset.split(x, opset.constant(1), 2).output(1),
        "VariadicSplit": lambda: opset.variadic_split(x, opset.constant(1), opset.constant([1, 3])).output(1),
        "StridedSlice": lambda: opset.strided_slice(
            x, whole, opset.constant([2, 4, 3, 3]), opset.constant([1, 1, 1, 1]), [0] * 4, [0] * 4
        ).output(0),
        "Concat": lambda: opset.concat([x, opset.transpose(x, opset.constant([0, 1, 3, 2]))], 1).output(0),
        "ReduceMax": lambda: opset.reduce_max(x, opset.constant([1]), keep_dims=True).output(0),
        "Reshape": lambda: opset.reshape(x, opset.constant([2, -1]), special_zero=False).output(0),
        "Gather": lambda: opset.gather(x, opset.constant(1), opset.constant(2)).output(0),
        "Tile": lambda: opset.tile(x, opset.constant([1, 1, 1, 2])).output(0),
        "Broadcast": lambda: opset.broadcast(x, opset.constant([3, 2, 4, 6, 6])).output(0),
        "DepthToSpace": lambda: opset.depth_to_space(x, "blocks_first", 2).output(0),
        "SpaceToDepth": lambda: opset.space_to_depth(x, "blocks_first", 2).output(0),
        "ShuffleChannels": lambda: opset.shuffle_channels(x, 1, 2).output(0),
    }[kind]()


KINDS = [
    "MaxPool", "Pad", "Split", "VariadicSplit", "StridedSlice", "Concat", "ReduceMax", "Reshape", "Gather", "Tile",
    "Broadcast", "DepthToSpace", "SpaceToDepth", "ShuffleChannels",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantizer_is_found_before_what_changes_no_value_and_others_keep_it(kind: str) -> None:
    openvino = import_openvino()
    opset = openvino.opset13
    x = opset.parameter([2, 4, 6, 6], np.float32)

    def after(source: Any) -> Any:
        moved = passing(kind, opset, source)
        width = int(moved.get_partial_shape().get_shape()[-1])
        weight = np.random.default_rng(0).normal(size=(width, 3)).astype(np.float32)
        return moved, opset.matmul(moved, opset.constant(weight), False, False)

    coarse = opset.fake_quantize(x, *(opset.constant(one, np.float32) for one in (-1, 1, -1, 1)), 3)
    moved, layer = after(coarse)
    other = opset.negative(moved)
    given = np.random.default_rng(1).uniform(-1, 1, (2, 4, 6, 6)).astype(np.float32)
    _, exact = after(x)
    bypass_quantizer(layer)
    model = openvino.Model([opset.result(one) for one in (layer, exact, other)], [x], "model")
    found, expected, kept = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(given).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert set(np.unique(np.round(kept, 5))) <= {-1.0, 0.0, 1.0}


def test_a_layer_without_a_quantizer_is_not_passed_over_in_silence() -> None:
    opset = import_openvino().opset13
    x = opset.parameter([2, 4], np.float32)
    quantized = opset.fake_quantize(x, *(opset.constant(one, np.float32) for one in (-1, 1, -1, 1)), 3)
    layer = opset.matmul(opset.relu(quantized), opset.constant(np.ones((4, 3), np.float32)), False, False)
    layer.set_friendly_name("head.fc")
    with pytest.raises(
        MethodError,
        match=r"float_inputs: no quantizer was found before head\.fc .* comes from a Relu\): leave it out, or name",
    ):
        bypass_quantizer(layer)


def test_a_layer_behind_a_pooling_multiplies_floats_and_its_twin_does_not(tmp_path):
    class Branches(nn.Module):
        """One pooling feeds two layers, and NNCF quantizes what enters it."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.Conv2d(8, 4, 3)

        def forward(self, x):
            inner = nn.functional.max_pool2d(self.stem(x).relu(), 2)
            return self.left(inner).mean((2, 3)) + self.right(inner).mean((2, 3))

    torch.manual_seed(0)
    data = Dataset(calibration=TensorSplit(images(40, 1), torch.zeros(40, dtype=torch.int64)), evaluation=None)
    workshop = Workshop(TASKS["image-classification"](), data, Path(), 0, lambda _: None)
    subject = lower(Subject(Form.TORCH, Branches().eval(), (images(2, 0),)), Form.OPENVINO)
    method = Int8Layerwise(float_inputs=("left",))
    evidence = reloaded(method.apply(subject, workshop), tmp_path).evidence()
    assert set(evidence.dtypes) == {"int8"}
    assert evidence.kernels == {"i8": 2, "f32": 1}
