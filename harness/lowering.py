"""How a subject becomes the form that a method or a runtime asks for: one function for each edge of `LOWERINGS`."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.artifacts import openvino_codes
from harness.artifacts.openvino import Stored, import_openvino, layers
from harness.artifacts.quantized_layers import grouped_layers
from harness.errors import MethodError, Unforeseen, WeighinError
from harness.forms import Form, Subject
from harness.sources.decoder_export import decoder
from harness.sources.heads import inner_language_model

if TYPE_CHECKING:
    import torch


def lower(subject: Subject, to: Form) -> Subject:
    """The subject in another form; the form that it has already is itself.

    Raises:
        MethodError: no lowering leads there, or the converter refuses the model; the sentence says why, and where the
            converter did not, it is `Unforeseen`.
    """
    if subject.form is to:
        return subject
    edge = EDGES.get((subject.form, to))
    if edge is None:
        raise MethodError(f"there is no way from the {subject.form} to the {to}")
    try:
        model = edge(subject)
    except ModuleNotFoundError:
        # The worker names the extra that brings it.
        raise
    except Exception as error:
        reason = textwrap.shorten(str(error), 400) or type(error).__name__
        # What an edge explains itself needs no traceback beside it.
        kind = MethodError if isinstance(error, WeighinError) else Unforeseen
        raise kind(f"the {subject.form} does not convert to the {to}: {reason}") from error
    return replace(subject, form=to, model=model)


def _from_module(subject: Subject) -> Any:
    language_model = inner_language_model(subject.model)
    if language_model is not None:
        model = decoder(language_model)
        _name_layers(model, _matrices(language_model))
        return model
    openvino = import_openvino()
    shapes = [openvino.PartialShape(_open(example)) for example in subject.example]
    model = _convert(subject.model.eval(), example_input=subject.example, input=shapes)
    _name_layers(model, _matrices(subject.model))
    return model


def _from_codes(subject: Subject) -> Any:
    """The graph of the same layers in float, with the codes in the place of their weights."""
    model = subject.model
    stored, floats = grouped_layers(model)
    swapped = []
    try:
        for name, layer in floats.items():
            parent, _, last = name.rpartition(".")
            owner = model.get_submodule(parent)
            swapped.append((owner, last, getattr(owner, last)))
            setattr(owner, last, layer)
        graph = _from_module(subject)
    finally:
        for owner, last, layer in swapped:
            setattr(owner, last, layer)
    inner = inner_language_model(model)
    outer = next((f"{name}." for name, part in model.named_modules() if part is inner and inner is not None), "")
    openvino_codes.write(graph, {name.removeprefix(outer): matrix for name, matrix in stored.items()})
    return graph


def _open(example: torch.Tensor) -> list[int]:
    """An input's shape with its open axes: the batch, and of token numbers their count."""
    tokens = example.ndim == 2 and not example.is_floating_point()
    return [-1, -1] if tokens else [-1, *example.shape[1:]]


def _from_program(subject: Subject) -> Any:
    program = subject.model
    model = _convert(program)
    inputs = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder"}
    shapes = [inputs[name] for name in program.graph_signature.user_inputs]
    # The converter leaves every axis open; what the program fixed but the batch stays fixed.
    model.reshape(
        {
            port: [-1 if axis == 0 or not isinstance(size, int) else size for axis, size in enumerate(shape)]
            for port, shape in zip(model.inputs, shapes, strict=True)
        }
    )
    state = {**program.state_dict, **program.constants}
    _name_layers(
        model, {name.removesuffix(".weight"): value for name, value in state.items() if name.endswith(".weight")}
    )
    return model


def _convert(model: object, **options: object) -> Any:
    openvino = import_openvino()
    with warnings.catch_warnings():
        # OpenVINO's converter traces with an API that torch has deprecated.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        return openvino.convert_model(model, **options)


def _matrices(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    matrices = {}
    for name, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if weight is not None and hasattr(weight, "detach") and weight.ndim >= 2:
            matrices[name] = weight.detach()
    return matrices


def _name_layers(model: Any, matrices: dict[str, torch.Tensor]) -> None:
    """Give each layer the name of the torch module that it came from.

    A convolution keeps no name where a batch normalization was folded into it. It is then told by its weights: folding
    scales each output channel and keeps its direction.
    """
    unclaimed = dict(matrices)
    nameless, named = [], []
    for node, weight in layers(model):
        match = re.match(r"__module\.(?P<name>.+?)/", node.get_friendly_name())
        if match:
            unclaimed.pop(match["name"], None)
            named.append((node, match["name"]))
        else:
            nameless.append((node, weight))
    for node, weight in nameless:
        name = next((name for name, matrix in unclaimed.items() if _parallel(weight, matrix)), None)
        named.append((node, name or node.get_type_name()))
        unclaimed.pop(name or "", None)
    uses: Counter[str] = Counter()
    for node, name in named:
        uses[name] += 1
        node.set_friendly_name(name if uses[name] == 1 else f"{name}.{uses[name]}")


def _parallel(weight: Stored, matrix: torch.Tensor) -> bool:
    channels = matrix.shape[0]
    folded, original = weight.array(), matrix.detach().float().cpu().numpy().reshape(channels, -1)
    if folded.size != original.size:
        return False
    folded = folded.reshape(original.shape)
    lengths = np.linalg.norm(folded, axis=1) * np.linalg.norm(original, axis=1)
    return bool(np.allclose(np.abs((folded * original).sum(axis=1)), lengths, rtol=1e-4, atol=1e-12))


EDGES: dict[tuple[Form, Form], Callable[[Subject], Any]] = {
    (Form.TORCH, Form.OPENVINO): _from_module,
    (Form.EXPORTED, Form.OPENVINO): _from_program,
    (Form.WEIGHT_ONLY, Form.OPENVINO): _from_codes,
}
