"""Static int8 whose weights are fitted, layer by layer, to the float model's answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.artifacts.openvino import Stored, import_openvino, layers
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, chosen
from harness.methods.quantization.int8_static import Int8Static
from harness.methods.quantization.quantizers import bypass_quantizer
from harness.methods.quantization.rounding import neighbours, scales, with_feedback

if TYPE_CHECKING:
    from harness.data.base import Split

Array = np.ndarray[Any, Any]
# Layers that are fitted, with the axes of their weights; what else NNCF quantizes stays as NNCF left it.
FITTED = {"Convolution": 4, "GroupConvolution": 5, "MatMul": 2}
BATCH = 8


@METHODS.register
class Int8Layerwise(Method):
    """Post-training static quantization to int8 by layer-wise reconstruction, for OpenVINO.

    NNCF places the quantizers and finds the activations' ranges. Then every layer in turn, on the inputs that it gets
    from the layers quantized before it, is fitted to the answers of its float twin: weights by ridge regression towards
    the originals, rounding by GPTQ, bias by the difference of means. Unless told otherwise, weights are chosen so that
    no sum saturates on processors without VNNI, where that costs more accuracy than all rounding.
    I. Hubara et al., "Accurate Post Training Quantization With Small Calibration Sets", 2021; E. Frantar et al., "GPTQ:
    Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2023.
    """

    method: Literal["int8-layerwise"] = "int8-layerwise"
    also: ClassVar[Mapping[str, str]] = {"adaquant": "", "ptq": "", "post-training-quantization": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.OPENVINO: Form.OPENVINO}
    needs_data: ClassVar[bool] = True

    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")
    float_inputs: Names = Field(
        default=(), description="layers whose inputs stay in float: they multiply int8 weights in float arithmetic"
    )
    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="symmetric activations, or asymmetric where it pays"
    )
    positions: int = Field(
        default=32, ge=1, le=4096, description="places of each sample's feature map that a layer is fitted on"
    )
    ridge: float = Field(
        default=10.0, gt=0, le=1000, description="pull towards the float weights, relative to the inputs' mean power"
    )
    damping: float = Field(default=0.01, gt=0, le=1, description="of the Hessian that distributes rounding errors")
    saturation: Literal["avoid", "ignore"] = Field(
        default="avoid",
        description="avoid: keep sums of neighbouring products within 16 bits, which processors without VNNI need",
    )

    @property
    def undoes(self) -> frozenset[Trait]:
        """Zeros, which regression and feedback fill like any weight, and values that weights share."""
        return frozenset({Trait.ZEROS, Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Quantize by NNCF, then fit every layer on every calibration sample."""
        from harness.methods.quantization.nncf import quantize

        ranges = Int8Static(keep_float=self.keep_float, preset=self.preset)
        quantized = quantize(subject, workshop, ranges, correct_biases=False)
        assert workshop.data is not None  # `quantize` has refused that
        originals = {node.get_friendly_name(): (node, weight) for node, weight in layers(subject.model)}
        pairs = [
            (originals[node.get_friendly_name()], (node, weight))
            for node, weight in layers(quantized.model)
            if _fits(node, weight)
        ]
        widened = chosen("float_inputs", self.float_inputs, [node.get_friendly_name() for _, (node, _) in pairs])
        for _, (node, _) in pairs:
            if node.get_friendly_name() in widened:
                bypass_quantizer(node)
        targets = _Targets(subject.model, [node for (node, _), _ in pairs], workshop.data.calibration, self.positions)
        for number, ((_, original), (node, _)) in enumerate(pairs):
            workshop.progress(f"fitting layer {number + 1} of {len(pairs)}: {node.get_friendly_name()}")
            layer = _Layer(node, original)
            saturates = self.saturation == "avoid" and node.get_friendly_name() not in widened
            self._fit(layer, _Moments.gather(layer, quantized.model, targets, number), saturates)
        return quantized

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Too few weights in int8: none at all, or layers in float that were not to be kept."""
        return Int8Static(keep_float=self.keep_float).contradictions(before, after)

    def _fit(self, layer: _Layer, moments: _Moments, saturates: bool) -> None:
        power = np.diagonal(moments.inputs, axis1=1, axis2=2)
        pull = np.eye(power.shape[1]) * (self.ridge * power.mean(1) + 1e-10)[:, None, None]
        original = layer.weights.astype(np.float64)
        fitted = np.linalg.solve(moments.inputs + pull, moments.both + pull @ original.transpose(0, 2, 1))
        weights = fitted.transpose(0, 2, 1)
        apart = neighbours(layer.channels, layer.taps) if saturates else None
        scale = scales(weights, power, apart)
        codes = with_feedback(weights, scale, moments.inputs, self.damping, apart)
        layer.write(codes, scale)
        if layer.bias is not None:
            layer.shift(moments.mean_target - np.einsum("grc,gc->gr", codes * scale[..., None], moments.mean_input))


class _Layer:
    """A quantized layer of the graph and its float weights, as (groups, rows, columns) matrices."""

    def __init__(self, node: Any, original: Stored) -> None:
        self.node, kind = node, node.get_type_name()
        attributes = node.get_attributes()
        array = original.array()
        self.transposed = kind == "MatMul" and not attributes["transpose_b"]
        if self.transposed:
            array = array.T
        self.groups = array.shape[0] if kind == "GroupConvolution" else 1
        self.rows, self.channels = array.shape[1:3] if kind == "GroupConvolution" else array.shape[:2]
        self.window = array.shape[-2:] if kind != "MatMul" else ()
        self.taps = int(np.prod(self.window, dtype=np.int64))
        self.weights = array.reshape(self.groups, self.rows, -1)
        self.strides = tuple(attributes.get("strides", ()))
        self.dilations = tuple(attributes.get("dilations", ()))
        self.pads = tuple(zip(attributes.get("pads_begin", ()), attributes.get("pads_end", ()), strict=True))
        self.bias = _bias(node)

    def patches(self, inputs: Array, places: Array | None) -> Array:
        """What the layer multiplies: (groups, samples * places, columns)."""
        if not self.window:
            return _at(inputs, places, mapped=False).reshape(1, -1, inputs.shape[-1])
        assert places is not None
        padded = np.pad(inputs, ((0, 0), (0, 0), *self.pads))
        down, across = (
            places[:, axis, None] * self.strides[axis] + np.arange(self.window[axis]) * self.dilations[axis]
            for axis in (0, 1)
        )
        cut = padded[:, :, down[:, :, None], across[:, None, :]]
        cut = cut.reshape(len(inputs), self.groups, self.channels, len(places), self.taps)
        return cut.transpose(1, 0, 3, 2, 4).reshape(self.groups, -1, self.channels * self.taps)

    def write(self, codes: Array, scale: Array) -> None:
        """Replace the stored integers and their scales."""
        constant = import_openvino().op.Constant
        widened = self.node.input_value(1).get_node()
        old_codes, old_scale = widened.input_value(0).get_node().input_value(0), widened.input_value(1)
        matrix = codes.reshape(self.groups * self.rows, -1)
        shaped = (matrix.T if self.transposed else matrix).reshape(old_codes.get_shape())
        new_codes = constant(np.ascontiguousarray(shaped))
        new_scale = constant(scale.astype(np.float32).reshape(old_scale.get_shape()))
        widened.input_value(0).get_node().input(0).replace_source_output(new_codes.output(0))
        widened.input(1).replace_source_output(new_scale.output(0))

    def shift(self, missing: Array) -> None:
        """Add to the bias what the layer's mean answer lacks."""
        assert self.bias is not None
        add, port = self.bias
        old = add.input_value(port)
        values = old.get_node().data + missing.astype(np.float32).reshape(old.get_shape())
        add.input(port).replace_source_output(import_openvino().op.Constant(values).output(0))


class _Targets:
    """What each float layer answers, at a few places of every calibration sample: (samples * places, channels)."""

    def __init__(self, model: Any, nodes: list[Any], split: Split, positions: int) -> None:
        # Every layer walks through them: decoding and cropping photos anew each time would cost a sixth of the run.
        self.inputs = [[each.numpy() for each in batch.inputs] for batch in split.unpadded(BATCH)]
        generator = np.random.default_rng(0)
        compiled = _compiled(model, [node.output(0) for node in nodes])
        mapped = [node.get_type_name() != "MatMul" for node in nodes]
        drawn: list[dict[tuple[int, ...], Array | None]] = [{} for _ in nodes]
        # For each layer the places in each batch, and what it answers there.
        self.places: list[list[Array | None]] = [[] for _ in nodes]
        self.answers: list[list[Array]] = [[] for _ in nodes]
        for inputs in self.inputs:
            for number, output in enumerate(compiled(inputs).to_tuple()):
                # The same places in all samples of one size.
                size = output.shape[1:]
                if size not in drawn[number]:
                    drawn[number][size] = _places(output.shape, mapped[number], positions, generator)
                places = drawn[number][size]
                self.places[number].append(places)
                self.answers[number].append(_at(output.copy(), places, mapped[number]))


class _Moments:
    """Means and second moments of a layer's inputs and of its float twin's answers, centred where it has a bias."""

    def __init__(self, inputs: Array, both: Array, mean_input: Array, mean_target: Array) -> None:
        self.inputs, self.both, self.mean_input, self.mean_target = inputs, both, mean_input, mean_target

    @classmethod
    def gather(cls, layer: _Layer, model: Any, targets: _Targets, number: int) -> _Moments:
        """Run the quantized model up to the layer, on every calibration sample."""
        compiled = _compiled(model, [layer.node.input_value(0)])
        inputs: Any = 0.0
        both: Any = 0.0
        sum_input: Any = 0.0
        sum_target: Any = 0.0
        count = 0
        for batch, answers, places in zip(targets.inputs, targets.answers[number], targets.places[number], strict=True):
            patches = layer.patches(compiled(batch).to_tuple()[0], places)
            wanted = answers.reshape(-1, layer.groups, layer.rows).transpose(1, 0, 2)
            inputs = inputs + (patches.transpose(0, 2, 1) @ patches).astype(np.float64)
            both = both + (patches.transpose(0, 2, 1) @ wanted).astype(np.float64)
            sum_input = sum_input + patches.sum(1, dtype=np.float64)
            sum_target = sum_target + wanted.sum(1, dtype=np.float64)
            count += patches.shape[1]
        mean_input, mean_target = sum_input / count, sum_target / count
        inputs, both = inputs / count, both / count
        if layer.bias is not None:
            inputs = inputs - mean_input[:, :, None] * mean_input[:, None, :]
            both = both - mean_input[:, :, None] * mean_target[:, None, :]
        return cls(inputs, both, mean_input, mean_target)


def _fits(node: Any, weight: Stored) -> bool:
    widened = node.input_value(1).get_node()
    return (
        FITTED.get(node.get_type_name()) == len(weight.shape)
        and weight.dtype == "int8"
        and widened.get_type_name() == "Multiply"
        and widened.input_value(0).get_node().get_type_name() == "Convert"
    )


def _compiled(model: Any, outputs: list[Any]) -> Any:
    openvino = import_openvino()
    results = [openvino.opset13.result(output) for output in outputs]
    part = openvino.Model(results, model.get_parameters(), "part")
    return openvino.Core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})


def _places(shape: tuple[int, ...], mapped: bool, positions: int, generator: np.random.Generator) -> Array | None:
    """Places of an output: rows and columns of a feature map, or tokens; None where it has but one.

    Args:
        shape: (batch, channels, height, width) of a feature map; else channels are last, and all between are tokens.
        mapped: whether it is a feature map, as a convolution gives.
        positions: at most so many.
        generator: draws them.
    """
    if mapped:
        chosen = generator.permutation(shape[2] * shape[3])[:positions]
        return np.stack([chosen // shape[3], chosen % shape[3]], axis=1)
    return generator.permutation(math.prod(shape[1:-1]))[:positions] if len(shape) > 2 else None


def _at(values: Array, places: Array | None, mapped: bool) -> Array:
    """What stands at these places, shape (batch * places, channels)."""
    if places is None:
        return values
    if mapped:
        return values[:, :, places[:, 0], places[:, 1]].transpose(0, 2, 1).reshape(-1, values.shape[1])
    return values.reshape(len(values), -1, values.shape[-1])[:, places].reshape(-1, values.shape[-1])


def _bias(node: Any) -> tuple[Any, int] | None:
    """The addition of a constant right after a layer, and the port of the constant."""
    users = list(node.output(0).get_target_inputs())
    if len(users) != 1 or users[0].get_node().get_type_name() != "Add":
        return None
    port = 1 - users[0].get_index()
    constant = users[0].get_node().input_value(port).get_node().get_type_name() == "Constant"
    return (users[0].get_node(), port) if constant else None
