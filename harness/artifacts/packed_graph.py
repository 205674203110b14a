"""A traced program as plain data, and back: operators from a closed list that read tensors by number.

What a packed file says of its graph is data to an interpreter that knows these operators and no others: reading a file
runs nothing that the file brought.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.artifacts.packed_bytes import DTYPES, MOST_AXES
from harness.errors import ArtifactError

if TYPE_CHECKING:
    import torch

# Of torch's `aten`: those that depend on their arguments alone and touch neither files nor random numbers.
NAMES = """
    abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add add_ addmm alias amax amin
    arange argmax avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bmm cat celu chunk clamp clamp_ clamp_min clone
    constant_pad_nd contiguous conv1d conv2d conv3d _convolution cos cumsum detach div dropout dropout_ einsum elu elu_
    embedding eq erf exp expand expand_as feature_dropout flatten floor floor_divide full full_like gather ge gelu glu
    group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ index_select instance_norm layer_norm
    le leaky_relu leaky_relu_ linear log log_softmax logical_and logical_not logical_or lt masked_fill matmul max
    max_pool1d max_pool2d max_pool3d maximum mean min minimum mish mish_ mm mul mul_ narrow ne neg new_ones new_zeros
    norm ones ones_like pad permute pixel_shuffle pow prelu reflection_pad2d relu relu_ relu6 relu6_ repeat
    replication_pad2d reshape rms_norm roll rsqrt rsub scaled_dot_product_attention select selu selu_ sigmoid sigmoid_
    silu silu_ sin size slice softmax softplus split split_with_sizes sqrt squeeze stack std sub sub_ sum t tanh tanh_
    threshold threshold_ to transpose tril triu type_as unbind unflatten unsqueeze upsample_bicubic2d
    upsample_bilinear2d upsample_nearest2d var view where zeros zeros_like
"""
OPERATORS = frozenset(NAMES.split())
# Called as methods, which a tracer records as the program had them: with sizes as sizes, and with numbers as numbers.
METHOD_NAMES = "add add_ sub sub_ mul mul_ div pow eq ne gt ge lt le floor_divide size view reshape expand"
METHODS = frozenset(METHOD_NAMES.split())
# Of the tracer: what makes and takes apart lists and tuples, and what turns a size into a tensor and back.
STRUCTURE: Mapping[str, str] = {
    "prim::ListConstruct": "list", "prim::TupleConstruct": "list", "prim::ListUnpack": "unpack",
    "prim::TupleUnpack": "unpack", "prim::NumToTensor": "same", "prim::ImplicitTensorToNum": "same",
    "aten::Int": "same",
}  # fmt: skip
REFERENCE = re.compile(r"([xt])(\d+)|n(\d+)(?:\.(\d+))?")
# A reader makes inputs of the shapes that a file names, to trace its graph; this is an image of 2,364 by 2,364 pixels.
MOST_INPUT = 2**24
TENSOR_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")

# A number, nothing, a list of these; or a text: a reference to an input (x0), a tensor (t3), what a node gave (n7), or
# a part of that (n7.1); a text that is meant as one starts with a quote.
Argument = Any


class Graph(BaseModel):
    """A program.

    Attributes:
        inputs: shape and element type of each input, for a batch of one.
        buffers: names of the tensors that are no parameters.
        nodes: name of the operator, its arguments, and those that go by name; in the order in which they run.
        outputs: references to what comes out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    inputs: list[tuple[list[int], str]]
    buffers: list[str]
    nodes: list[tuple[str, list[Argument], dict[str, Argument]]]
    outputs: list[str]


def graph_of(program: torch.jit.ScriptModule, example: Sequence[torch.Tensor]) -> tuple[Graph, dict[str, torch.Tensor]]:
    """A traced program as data, and its tensors by name.

    Raises:
        ArtifactError: it uses an operator that the format does not know.
    """
    import torch

    learned = dict(program.named_parameters())
    stored = {**learned, **dict(program.named_buffers())}
    used: dict[str, torch.Tensor] = {}
    texts: dict[Any, Argument] = {}

    def tensor(name: str, value: torch.Tensor) -> str:
        used.setdefault(name, value)
        return f"t{list(used).index(name)}"

    def argument(value: Any) -> Argument:
        return texts[value.unique()]

    graph, nodes = program.inlined_graph, list[tuple[str, list[Argument], dict[str, Argument]]]()
    own, *inputs = graph.inputs()
    texts.update({value.unique(): f"x{place}" for place, value in enumerate(inputs)})
    modules = {own.unique(): ""}
    for node in graph.nodes():
        kind, outputs = node.kind(), list(node.outputs())
        if kind == "prim::GetAttr":
            path = f"{modules[node.inputsAt(0).unique()]}{node.s('name')}"
            if path in stored:
                texts[outputs[0].unique()] = tensor(path, stored[path])
            else:
                modules[outputs[0].unique()] = f"{path}."
        elif kind == "prim::Constant":
            constant = outputs[0].toIValue()
            if isinstance(constant, torch.Tensor) and constant.ndim:
                texts[outputs[0].unique()] = tensor(f"constant_{len(used)}", constant)
            else:
                texts[outputs[0].unique()] = _literal(constant)
        elif kind in STRUCTURE or kind.removeprefix("aten::") in OPERATORS:
            arguments = [argument(value) for value in node.inputs()]
            if kind == "prim::ListConstruct" and not any(isinstance(one, str) for one in arguments):
                texts[outputs[0].unique()] = arguments
                continue
            texts.update(
                {
                    value.unique(): f"n{len(nodes)}" + (f".{place}" if len(outputs) > 1 or "Unpack" in kind else "")
                    for place, value in enumerate(outputs)
                }
            )
            nodes.append((STRUCTURE.get(kind, kind.removeprefix("aten::")), *_called(node, arguments)))
        else:
            raise ArtifactError(f"the packed format knows no operator {kind}; deploy this model with another runtime")
    shapes = [(list(one.shape), str(one.dtype).removeprefix("torch.")) for one in example]
    buffers = [name for name in used if name not in learned]
    found = Graph(inputs=shapes, buffers=buffers, nodes=nodes, outputs=[argument(one) for one in graph.outputs()])
    return found, used


def checked(document: object, tensors: Sequence[str]) -> Graph:
    """A graph from what a file holds.

    Raises:
        ArtifactError: it is none, names an operator that is not in the list, or refers to what is not there.
    """
    try:
        # A file's lists are the tuples of the model.
        graph = Graph.model_validate(document, strict=False)
    except ValidationError as error:
        raise ArtifactError(f"the graph of the packed file means nothing: {error}") from error
    for shape, dtype in graph.inputs:
        if dtype not in DTYPES:
            raise ArtifactError(f"the packed file takes an input of the type {dtype!r}, which the format does not have")
        if min(shape, default=1) < 1 or len(shape) > MOST_AXES:
            raise ArtifactError(f"the packed file takes an input of the shape {shape[:MOST_AXES]}, which is none")
    if sum(math.prod(shape) for shape, _ in graph.inputs) > MOST_INPUT:
        raise ArtifactError(f"the packed file takes inputs of more than {MOST_INPUT:,} elements a sample")
    for name in (*tensors, *graph.buffers):
        if not TENSOR_NAME.fullmatch(name):
            raise ArtifactError(f"the packed file names a tensor {name!r}, which is no name")
    sizes = {"x": len(graph.inputs), "t": len(tensors)}
    for place, (operator, arguments, named) in enumerate(graph.nodes):
        if operator not in OPERATORS and operator not in STRUCTURE.values():
            raise ArtifactError(f"the packed file asks for the operator {operator!r}, which the format does not have")
        _check([arguments, list(named.values())], {**sizes, "n": place})
    _check(list(graph.outputs), {**sizes, "n": len(graph.nodes)})
    if not graph.outputs:
        raise ArtifactError("the graph of the packed file gives nothing out")
    return graph


def module_of(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A module that runs a checked graph, with its tensors under their names."""
    from torch import nn

    class Interpreter(nn.Module):
        """Runs the nodes one after the other."""

        def forward(self, *inputs: torch.Tensor) -> Any:
            given: list[Any] = []

            def value(argument: Argument) -> Any:
                if isinstance(argument, list):
                    return [value(one) for one in argument]
                if not isinstance(argument, str):
                    return argument
                if argument.startswith("'"):
                    return argument[1:]
                if argument[0] != "n":
                    return (inputs if argument[0] == "x" else stored)[int(argument[1:])]
                node, _, part = argument[1:].partition(".")
                return given[int(node)][int(part)] if part else given[int(node)]

            for operator, arguments, named in graph.nodes:
                given.append(_run(operator, value(arguments), {name: value(one) for name, one in named.items()}))
            outputs = tuple(value(one) for one in graph.outputs)
            return outputs[0] if len(outputs) == 1 else outputs

    model = Interpreter()
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        place: nn.Module = model
        for step in path:
            if step not in place._modules:
                place.add_module(step, nn.Module())
            place = place.get_submodule(step)
        if name in graph.buffers:
            place.register_buffer(last, tensor)
        else:
            place.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
    stored = [_held(model, name) for name in tensors]
    return model.eval()


def _held(model: torch.nn.Module, name: str) -> torch.Tensor:
    path, _, last = name.rpartition(".")
    held: torch.Tensor = getattr(model.get_submodule(path), last)
    return held


def _run(operator: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    import torch

    if operator == "list":
        return arguments
    if operator in ("unpack", "same"):
        return arguments[0]
    if operator in METHODS:
        return getattr(arguments[0], operator)(*arguments[1:], **named)
    return getattr(torch.ops.aten, operator)(*arguments, **named)


def _called(node: Any, arguments: list[Argument]) -> tuple[list[Argument], dict[str, Argument]]:
    """An operator's arguments by place, and by name those that have no place and are not what they are by default."""
    import torch

    if node.schema() == "(no schema)":
        return arguments, {}
    known = torch._C.parse_schema(node.schema()).arguments
    named = {
        one.name: argument
        for one, argument in zip(known, arguments, strict=True)
        if one.kwarg_only and argument != one.default_value
    }
    return [argument for one, argument in zip(known, arguments, strict=True) if not one.kwarg_only], named


def _literal(constant: Any) -> Argument:
    import torch

    if isinstance(constant, torch.Tensor):
        # A tensor without axes is a number of the arithmetic, as in x * 0.5.
        constant = constant.item()
    if constant is None or isinstance(constant, bool | int | float):
        return constant
    if isinstance(constant, list | tuple):
        return [_literal(one) for one in constant]
    return f"'{constant}"


def _check(arguments: Argument, sizes: Mapping[str, int]) -> None:
    """Hold every reference to what is there."""
    if isinstance(arguments, list):
        for one in arguments:
            _check(one, sizes)
    elif isinstance(arguments, dict):
        raise ArtifactError("the packed file gives an operator an argument that is no number, text or list")
    elif isinstance(arguments, str) and not arguments.startswith("'"):
        found = REFERENCE.fullmatch(arguments)
        if found is None or int(found[2] or found[3] or 0) >= sizes[found[1] or "n"]:
            raise ArtifactError(f"the packed file refers to {arguments!r}, which is not there")
