"""OpenVINO on the CPU: the artifact is an intermediate representation, ``model.xml`` and ``model.bin``."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from string import ascii_letters
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.artifacts.openvino import facts, import_openvino, is_decoder, number_names, require_formulas
from harness.artifacts.openvino_operators import LAYERS, RECURRENT
from harness.artifacts.openvino_shuffling import shuffle_openvino
from harness.errors import ArtifactError, Unmeasurable
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.runtimes.base import RUNTIMES, Runner, Runtime

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]

# From the best: which integer and float kernels the CPU plugin picks depends on the first of these that is there.
_INSTRUCTION_SETS = (
    "amx_int8",
    "avx512_vnni",
    "avx512_f",
    "avx_vnni",
    "avx2",
    "sse4_2",
    "sve2",
    "sve",
    "dotprod",
    "neon",
)
MULTIPLYING = LAYERS - {"Gather"} | RECURRENT.keys() | {"ScaledDotProductAttention"}
_EXECUTED_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})


@RUNTIMES.register
class OpenVino(Runtime):
    """OpenVINO's CPU plugin with its latency hint, in float32 wherever the graph is not quantized."""

    runtime: Literal["openvino"] = "openvino"
    dynamic_quantization: bool | None = Field(
        default=None,
        description="whether layers of 8- and 4-bit weights round their activations to 8 bits too while they run; as "
        "OpenVINO does for the processor if left out",
    )
    saves: ClassVar[frozenset[Form]] = frozenset({Form.OPENVINO})

    def save(self, subject: Subject, folder: Path) -> None:
        """Write ``model.xml`` and ``model.bin``: the graph with its constants as they are, float32 uncompressed."""
        openvino = import_openvino()
        number_names(subject.model)
        try:
            # The default would write float32 constants as float16: a reference of half its size.
            openvino.save_model(subject.model, folder / "model.xml", compress_to_fp16=False)
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO cannot save the model: {error}") from error

    def load(self, folder: Path, threads: int) -> Runner:
        """The runner of a folder with one ``.xml`` file and its ``.bin``.

        Leaves torch one thread in this process: OpenVINO brings its own, and those of torch wait for more to do by
        spinning, on the processors that the model is to run on.
        """
        import torch

        graphs = sorted(folder.glob("*.xml"))
        if len(graphs) != 1:
            raise ArtifactError(f"{folder} holds {len(graphs)} .xml files; an OpenVINO artifact has exactly one")
        openvino = import_openvino()
        core = openvino.Core()
        try:
            model = core.read_model(graphs[0])
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO cannot read {graphs[0].name}: {error}") from error
        if self.dynamic_quantization is not None:
            core.set_property("CPU", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32 if self.dynamic_quantization else 0})
        torch.set_num_threads(1)
        if is_decoder(model):
            from harness.runtimes.openvino_decoder import DecoderRunner

            return DecoderRunner(core, model, threads)
        return OpenVinoRunner(core, model, threads)

    def shuffle(self, folder: Path, seed: int) -> str:
        """Permute a layer of the graph in its ``.bin``."""
        return shuffle_openvino(folder, seed)

    def warm(self, folder: Path) -> None:
        """Import OpenVINO, and have it read, compile and run a convolution and a matrix product of a few weights."""
        import numpy as np
        import torch

        super().warm(folder)
        openvino = import_openvino()
        ops = openvino.opset13
        image = ops.parameter([1, 3, 8, 8], np.float32)
        filters = ops.constant(np.ones((8, 3, 3, 3), np.float32))
        made = ops.relu(ops.convolution(image, filters, [1, 1], [0, 0], [0, 0], [1, 1]))
        flat = ops.reshape(made, ops.constant(np.array([1, 288])), False)
        answer = ops.matmul(flat, ops.constant(np.ones((288, 8), np.float32)), False, False)
        few, example = openvino.Model([answer], [image], "few"), (torch.zeros(1, 3, 8, 8),)
        with tempfile.TemporaryDirectory() as place:
            self.save(Subject(Form.OPENVINO, few, example), Path(place))
            self.load(Path(place), 1)(example)

    def kernels(self) -> str:
        """``openvino`` and the instruction set that its kernels build on."""
        import torch

        capabilities = torch.cpu.get_capabilities()
        best = next((one for one in _INSTRUCTION_SETS if capabilities.get(one)), capabilities.get("architecture"))
        return f"openvino {best}"


class OpenVinoRunner(Runner):
    """A graph read from disk, compiled when it is first run."""

    def __init__(self, core: Any, model: Any, threads: int) -> None:
        self._core, self._model = core, model
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            # Pinning puts the first thread of every process on the first core, where they wait for each other.
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: dict[tuple[tuple[int, ...], ...] | None, Any] = {}

    def __call__(self, inputs: Tensors) -> Tensors:
        """Outputs of one batch of any size, by one compilation where the graph leaves its axes open."""
        import torch

        fixed = any(port.get_partial_shape().is_static for port in self._model.inputs)
        shapes = tuple(tuple(each.shape) for each in inputs) if fixed else None
        request = self._compile(shapes).create_infer_request()
        # What is fed lies where numpy put it: a copy that was made for its layout must outlive the call.
        held = self._feed(request, inputs)
        request.infer(share_outputs=True)
        del held
        outputs = tuple(torch.from_numpy(tensor.data.copy()).float() for tensor in request.output_tensors)
        batch = len(inputs[0])
        if any(output.ndim == 0 or len(output) != batch for output in outputs):
            given = ", ".join(str(tuple(output.shape)) for output in outputs)
            raise Unmeasurable(
                f"a batch of {batch} gives outputs of shape {given}: the graph was exported with a fixed batch; "
                "export it with a dynamic batch axis"
            )
        return outputs

    def prepared(self, inputs: Tensors) -> Callable[[], object]:
        """Inference on inputs that lie where OpenVINO reads them, compiled for their shape.

        An open batch axis alone costs 3 to 5 % on EfficientNet-Lite0, which a user who deploys one shape does not pay.
        """
        compiled = self._compile(tuple(tuple(each.shape) for each in inputs))
        request = compiled.create_infer_request()
        held = self._feed(request, inputs)

        def infer(_held: object = held) -> object:
            return request.infer(share_outputs=True)

        return infer

    def serving(self) -> Callable[[Tensors], Tensors]:
        """One compilation and one request for each shape that comes, kept: a new request allocates all its memory."""
        import torch

        requests: dict[tuple[tuple[int, ...], ...], Any] = {}

        def serve(inputs: Tensors) -> Tensors:
            shapes = tuple(tuple(each.shape) for each in inputs)
            if shapes not in requests:
                requests[shapes] = self._compile(shapes).create_infer_request()
            request = requests[shapes]
            held = self._feed(request, inputs)
            request.infer(share_outputs=True)
            del held
            return tuple(torch.from_numpy(tensor.data.copy()).float() for tensor in request.output_tensors)

        return serve

    def evidence(self) -> Evidence:
        """Counts over the graph; `kernels` counts its layers by the arithmetic that the plugin runs them in."""
        operators = Counter(node.get_type_name() for node in self._model.get_ops())
        for kind in ("Constant", "Parameter", "Result"):
            operators.pop(kind, None)
        executed: Counter[str] = Counter()
        for node in self._compile(None).get_runtime_model().get_ops():
            info = node.get_rt_info()
            if info["layerType"].astype(str) in _EXECUTED_LAYERS:
                # "runtimePrecision" would tell the stored type of a weight, "brgconv_avx2_f32" tells the arithmetic.
                executed[info["primitiveType"].astype(str).rpartition("_")[2].lower()] += 1
        return Evidence(operators=dict(sorted(operators.items())), tensors=facts(self._model), kernels=dict(executed))

    def macs(self, inputs: Tensors) -> int:
        """Multiply-accumulates of convolutions, recurrent layers and matrix products, by their shapes on this batch.

        Raises:
            Unmeasurable: with the operator that has no formula.
        """
        model = self._reshaped(tuple(tuple(each.shape) for each in inputs))
        require_formulas(model, MULTIPLYING)
        return sum(_macs(node) for node in model.get_ops() if node.get_type_name() in MULTIPLYING)

    def _compile(self, shapes: tuple[tuple[int, ...], ...] | None) -> Any:
        if shapes not in self._compiled:
            model = self._model if shapes is None else self._reshaped(shapes)
            self._compiled[shapes] = self._core.compile_model(model, "CPU", self._options)
        return self._compiled[shapes]

    def _reshaped(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        model = self._model.clone()
        model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
        return model

    def _feed(self, request: Any, inputs: Tensors) -> object:
        openvino = import_openvino()
        arrays = [each.detach().contiguous().numpy() for each in inputs]
        for index, array in enumerate(arrays):
            request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        return arrays


def _macs(node: Any) -> int:
    kind = node.get_type_name()
    shapes = [node.get_input_partial_shape(port) for port in range(node.get_input_size())]
    shapes.append(node.get_output_partial_shape(0))
    if any(shape.is_dynamic for shape in shapes):
        raise Unmeasurable(
            f"{node.get_friendly_name()} has a shape that depends on the data: its MACs cannot be counted"
        )
    sizes = [[int(size) for size in shape.to_shape()] for shape in shapes]
    if kind in RECURRENT:
        # Every time step of every sample multiplies with every weight matrix once, of both directions.
        return math.prod(sizes[0][:-1]) * sum(math.prod(sizes[port]) for port in RECURRENT[kind][:2])
    if kind == "Einsum":
        return _einsum(node.get_attributes()["equation"], sizes[:-1], node.get_friendly_name())
    operand, other, *_, made = sizes
    results = math.prod(made)
    if kind == "ScaledDotProductAttention":
        # Scores are queries times keys, (…, L, E) by (…, S, E); results are scores times values.
        return math.prod(operand) * other[-2] + results * other[-2]
    if kind == "MatMul":
        transposed = node.get_attributes()["transpose_a"] and len(operand) > 1
        return results * operand[-2 if transposed else -1]
    # Filters are (out, in, …), transposed (in, out, …); grouped ones carry the group before both.
    first = 1 if kind.startswith("Group") else 0
    return (math.prod(operand) if "Backprop" in kind else results) * math.prod(other[first + 1 :])


def _einsum(equation: str, shapes: list[list[int]], name: str) -> int:
    """Of two operands one for each way to choose all indices; over what one of them alone has, it is summed before.

    Where nothing that both have is summed over, numbers are multiplied one by one, and that is no product of matrices.
    An ellipsis stands for the axes before, and one of length 1 serves all of the other's.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(operands) == 1:
        return 0
    if len(operands) > 2:
        raise Unmeasurable(
            f"the multiply-accumulates of Einsum ({name}), {equation}, have no formula here: it takes two operands to "
            "count them. Leave `macs_g` and `flops_g` out"
        )
    hidden = [len(shape) - len(one.replace("...", "")) for one, shape in zip(operands, shapes, strict=True)]
    spare = [letter for letter in ascii_letters if letter not in equation][: max(hidden)]
    sizes: dict[str, int] = {}
    of: list[list[str]] = []
    for one, shape, count in zip(operands, shapes, hidden, strict=True):
        labels = [*one.partition("...")[0], *spare[len(spare) - count :], *one.partition("...")[2]]
        of.append(labels)
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    shared = {*of[0]} & {*of[1]}
    # What an ellipsis stands for is in what is made, written or not.
    once = [label for label in sizes if (of[0] + of[1]).count(label) == 1]
    made = {*(result.replace(".", "") if arrow else once), *spare}
    return math.prod(sizes[label] for label in shared | made) if shared - made else 0
