"""What a TorchScript program multiplies: torch's own counter, and the formulas that it lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from harness.artifacts.torchscript_graph import every_node, path_of, unpacked
from harness.artifacts.torchscript_operators import COMPOSED, STRUCTURE, packet_of, plain
from harness.errors import Unmeasurable

if TYPE_CHECKING:
    import torch

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "quantized_lstm", "quantized_gru")
# Products over the last axis of the first operand, of matrices in codes or with a vector.
PRODUCTS = ("aten::dot", "aten::mv", "aten::vdot", "quantized::matmul")
# What packed weights are an object of.
PACKED = "__torch__.torch.classes."
Formula = Callable[..., int]
Shape = tuple[int, ...]


def macs_of(program: torch.jit.ScriptModule, inputs: tuple[torch.Tensor, ...]) -> int:
    """Multiply-accumulates of one run, by torch's own counter of floating point operations.

    It counts nothing for an operator that it does not know. Packed weights, recurrent layers, fused attention of the
    CPU and products in codes have their formulas here.

    Raises:
        Unmeasurable: an operator that has no formula takes packed weights or a stored matrix.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    graph = program.inlined_graph
    nodes = list(every_node(graph))
    formulas = _formulas(nodes)
    _require_formulas(program, nodes, {*flop_registry, *formulas})
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        program(*inputs)
    flops: int = counter.get_total_flops()
    return flops // 2


def _formulas(nodes: Iterable[Any]) -> dict[Any, Formula]:
    """How many floating point operations the operators come to that torch's counter does not know."""
    import torch
    from torch.utils.flop_counter import sdpa_flop_count

    aten = torch.ops.aten
    formulas: dict[Any, Formula] = {
        aten._scaled_dot_product_flash_attention_for_cpu: _raw(
            lambda out, query, key, value, *_: sdpa_flop_count(  # type: ignore[no-untyped-call]
                query.shape, key.shape, value.shape
            )
        ),
        aten._native_multi_head_attention: _raw(_attention),
        aten._transformer_encoder_layer_fwd: _raw(_encoder_layer),
        aten.addmv: _raw(lambda out, added, matrix, *_: _product(out, matrix)),
    }
    formulas.update({packet: _raw(_product) for kind in PRODUCTS if (packet := packet_of(kind)) is not None})
    for name in RECURRENT:
        packet = getattr(aten, name)
        # An overload that is named is counted as it is, and not broken up into operators that have no formula.
        for key in (packet, *(getattr(packet, overload) for overload in packet.overloads())):
            formulas[key] = _raw(_recurrent)
    for node in nodes:
        space, _, name = node.kind().partition("::")
        if space == "quantized" and any(map(_packed, node.inputs())):
            formulas[packet_of(node.kind())] = _raw(_formula(name))
    return formulas


def _require_formulas(program: torch.jit.ScriptModule, nodes: Iterable[Any], counted: Collection[Any]) -> None:
    """Hold a program to operators whose multiply-accumulates are counted.

    Args:
        program: for the tensors that it stores.
        nodes: of its graph, in the order in which they run.
        counted: the operators that have a formula.

    Raises:
        Unmeasurable: packed weights, or a matrix that is made of nothing but what is stored, go into an operator of
            which it is not known here what it does with them.
    """
    held: dict[int, Shape] = {}
    for node in nodes:
        kind = node.kind()
        if kind in ("prim::GetAttr", "prim::Constant"):
            shape = _stored(program, node)
            if shape is not None:
                held[node.output().unique()] = shape
        elif kind in STRUCTURE or (not kind.startswith("prim::") and plain(kind)):
            given = [value.unique() for value in node.inputs() if _carries(value)]
            if given and all(one in held for one in given):
                largest = max((held[one] for one in given), key=lambda shape: math.prod(shape))
                held.update({value.unique(): largest for value in node.outputs()})
        elif not (kind.startswith("prim::") or kind in COMPOSED or packet_of(kind) in counted):
            taken = _taken(node, held)
            if taken:
                raise Unmeasurable(
                    f"the multiply-accumulates of {kind}, which takes {taken}, have no formula here: leave `macs_g` "
                    "and `flops_g` out"
                )


def _stored(program: torch.jit.ScriptModule, node: Any) -> Shape | None:
    """The shape of the largest tensor that an attribute or a constant holds; None where it holds none.

    Marks, and whole numbers of more than a byte, are to choose by and no weights.
    """
    import torch

    if not _carries(node.output()):
        return None
    value: Any = program
    if node.kind() == "prim::GetAttr":
        for name in path_of(node.output()).split("."):
            # What is no attribute of the program is one of an object that the program makes as it runs.
            value = getattr(value, name, None)
    else:
        value = node.output().toIValue()
    if isinstance(value, torch.ScriptObject):
        return None
    tensors = [one for one in unpacked(value) if one.dtype not in (torch.int64, torch.int32, torch.bool)]
    largest = max(tensors, key=lambda one: one.numel(), default=None)
    return None if largest is None else tuple(largest.shape)


def _taken(node: Any, held: dict[int, Shape]) -> str:
    """What an operator takes of the weights: packed ones, or a matrix; empty where neither."""
    if any(map(_packed, node.inputs())):
        return "packed weights"
    shapes = (held[value.unique()] for value in node.inputs() if value.unique() in held)
    matrix = next((shape for shape in shapes if sum(size > 1 for size in shape) > 1), None)
    return f"a matrix of shape {matrix}" if matrix is not None else ""


def _carries(value: Any) -> bool:
    """Whether a value of a graph is a tensor, or some tensors."""
    import torch

    kind = value.type()
    return bool(kind.isSubtypeOf(torch._C.TensorType.get()) or "Tensor" in kind.str())


def _packed(value: Any) -> bool:
    """Whether a value of a graph is packed weights, or some of them."""
    return bool(PACKED in value.type().str())


def _raw(formula: Formula) -> Formula:
    """Mark a formula as taking arguments themselves, as packed weights have no shape."""

    def counted(*arguments: Any, out_val: Any = None, **options: Any) -> int:
        return formula(out_val, *arguments)

    counted._get_raw = True  # type: ignore[attr-defined]
    return counted


def _formula(name: str) -> Formula:
    """How many floating point operations a quantized operator stands for: two a multiply-accumulate."""
    # To lay weights out anew, or to look some up, multiplies nothing.
    if "unpack" in name or name.startswith(("embedding", "make_quantized_cell_params")):
        return lambda out, *_: 0
    if name.startswith("conv_transpose"):
        return lambda out, x, packed, *_: 2 * x.numel() * math.prod(next(unpacked(packed)).shape[1:])
    if name.startswith(("conv", "linear")):
        return lambda out, x, packed, *_: 2 * out.numel() * math.prod(next(unpacked(packed)).shape[1:])
    raise Unmeasurable(f"quantized::{name} has no formula for its multiply-accumulates")


def _product(out: torch.Tensor, first: torch.Tensor, *_: Any) -> int:
    """Each element of what comes out is a sum over the first operand's last axis."""
    return 2 * out.numel() * first.shape[-1]


def _attention(out: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, width: int, *_: Any) -> int:
    """Four projections, scores and their product with the values."""
    batch, length = query.shape[:2]
    return 2 * batch * length * width * (4 * width + 2 * key.shape[1])


def _encoder_layer(out: Any, source: torch.Tensor, width: int, heads: int, *arguments: Any) -> int:
    """Self-attention and the two layers of the feed-forward part."""
    matrices: list[int] = [part.numel() for part in arguments if hasattr(part, "ndim") and part.ndim == 2]
    rows = math.prod(source.shape[:-1])
    return 2 * rows * (sum(matrices) + 2 * source.shape[1] * width)


def _recurrent(out: object, data: torch.Tensor, *arguments: Any) -> int:
    """Every time step of every sample multiplies with every weight matrix once."""
    second = 1 if len(arguments) > 1 and isinstance(arguments[1], list | tuple) else 2
    weights = arguments[second]
    rows = math.prod(data.shape[:-1])
    matrices: list[int] = [part.numel() for part in unpacked(list(weights)) if part.ndim == 2]
    return 2 * rows * sum(matrices)
