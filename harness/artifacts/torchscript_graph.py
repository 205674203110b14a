"""Reading a TorchScript program: its operators, and every tensor that it stores."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, Any

from harness.artifacts.code_counts import ZERO_CODES, code_counts
from harness.artifacts.torchscript_operators import roles_of
from harness.evidence import Evidence, Role, TensorFact, count_distinct

if TYPE_CHECKING:
    import torch

# Arguments of an operator that hold what was learned, in case a program stores them as constants.
LEARNED = frozenset({"weight", "bias"})
ARITHMETIC = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "i8"}


def evidence_of(program: torch.jit.ScriptModule) -> Evidence:
    """Counts over a program: operators of its inlined graph, and parameters, buffers, packed weights and constants.

    `kernels` counts the weight matrices of linear layers and convolutions by the arithmetic that they are used in.
    """
    nodes = every_node(program.inlined_graph)
    operators = Counter(node.kind() for node in nodes if not node.kind().startswith("prim::"))
    tensors = tuple(fact for fact, _ in stored(program))
    multiplied = (one.dtype for one in tensors if one.matrix and one.plays(Role.MULTIPLIED))
    kernels = Counter(ARITHMETIC.get(dtype, dtype) for dtype in multiplied)
    return Evidence(operators=dict(sorted(operators.items())), tensors=tensors, kernels=dict(kernels))


def stored(program: torch.jit.ScriptModule) -> list[tuple[TensorFact, torch.Tensor]]:
    """Every tensor that a program stores, packed weights unpacked, with what is to be told of it."""
    nodes = list(every_node(program.inlined_graph))
    users = _users(nodes)
    found = {
        **{name: (_fact(name, value, users, weight=True), value) for name, value in program.named_parameters()},
        **{name: (_fact(name, value, users, weight=False), value) for name, value in program.named_buffers()},
    }
    for path, used_by in _packed(nodes).items():
        stem = re.sub(r"(\._packed_params|\.param)+$", "", path)
        packed = reduce(getattr, path.split("."), program)
        for index, value in enumerate(unpacked(packed)):
            name = f"{stem}.{_part(value, index)}"
            found[name] = (_fact(name, value, {name: used_by}, weight=True), value)
    for name, value, used_by, learned in _constants(nodes):
        found[name] = (_fact(name, value, {name: used_by}, weight=learned), value)
    constants = [node for node in nodes if node.kind() == "prim::Constant" and node.hasAttribute("value")]
    texts = {node.s("value") for node in constants if node.kindOf("value") == "s"}
    tables = [ZERO_CODES[name] for name in ZERO_CODES if name in texts]
    zero_codes = tables[0] if len(tables) == 1 else ()
    counts = code_counts({name: value for name, (_, value) in found.items()}, zero_codes)
    return [
        (fact.model_copy(update=dict(zip(("weights", "zeros"), counts[name], strict=True))), value)
        if name in counts else (fact, value)
        for name, (fact, value) in found.items()
    ]  # fmt: skip


def every_node(block: Any) -> Iterator[Any]:
    """Every node of a graph, those of nested blocks included."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from every_node(inner)


def path_of(value: Any) -> str:
    """Where in the module a value was read from: ``layer1.0.conv1.weight``; empty where it was computed."""
    names: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        names.insert(0, value.node().s("name"))
        value = value.node().inputsAt(0)
    return ".".join(names)


def _consumers(value: Any) -> set[str]:
    """The operators that use a value, also by way of a list."""
    kinds: set[str] = set()
    for use in value.uses():
        kind = use.user.kind()
        kinds |= _consumers(use.user.output()) if kind == "prim::ListConstruct" else {kind}
    return {kind for kind in kinds if not kind.startswith("prim::")}


def _users(nodes: list[Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if node.kind() == "prim::GetAttr":
            found[path_of(node.output())] |= _consumers(node.output())
    return found


def _packed(nodes: Iterator[Any] | list[Any]) -> dict[str, set[str]]:
    """Where packed weights lie, with the operators that use them."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if node.kind() == "prim::GetAttr" and "__torch__.torch.classes." in node.output().type().str():
            found[path_of(node.output())] |= _consumers(node.output())
    return found


def unpacked(packed: object) -> Iterator[torch.Tensor]:
    """The tensors of packed parameters: weight and bias, or all that their state holds."""
    import torch

    if isinstance(packed, torch.Tensor):
        yield packed
    elif isinstance(packed, torch.ScriptObject):
        named: Any = packed
        yield from unpacked(named.unpack() if named._has_method("unpack") else named.__getstate__())
    elif isinstance(packed, list | tuple):
        for part in packed:
            yield from unpacked(part)


def _part(value: torch.Tensor, index: int) -> str:
    return ("weight" if value.ndim > 1 else "bias") + (f".{index}" if index > 1 else "")


def _constants(nodes: list[Any]) -> Iterator[tuple[str, torch.Tensor, set[str], bool]]:
    """Tensors written into the graph itself: name, value, the operators that use it, whether it is a learned part."""
    import torch

    for index, node in enumerate(node for node in nodes if node.kind() == "prim::Constant"):
        value = node.output().toIValue()
        learned = any(_argument(use.user, use.offset) in LEARNED for use in node.output().uses())
        kinds = _consumers(node.output())
        for place, tensor in enumerate(unpacked(value)):
            packed = isinstance(value, torch.ScriptObject)
            # Single numbers are part of the arithmetic, as in x * 0.5, and no stored tensor.
            if tensor.ndim or packed:
                yield f"constant.{index}.{_part(tensor, place)}", tensor, kinds, learned or packed


def _argument(node: Any, offset: int) -> str:
    """The name of an operator's argument."""
    import torch

    if node.schema() == "(no schema)":
        return ""
    arguments = torch._C.parse_schema(node.schema()).arguments
    return arguments[offset].name if offset < len(arguments) else ""


def _fact(name: str, value: torch.Tensor, users: dict[str, set[str]], *, weight: bool) -> TensorFact:
    plain = value.dequantize() if value.is_quantized else value
    used_by = tuple(sorted(users.get(name, ())))
    return TensorFact(
        name=name,
        dtype=str(value.dtype).removeprefix("torch.").removeprefix("q"),
        shape=tuple(value.shape),
        zeros=int(value.numel() - plain.count_nonzero()),
        weight=weight,
        distinct=_distinct(value),
        used_by=used_by,
        roles=roles_of(used_by),
    )


def _distinct(value: torch.Tensor) -> int | None:
    """Different values of a weight matrix in floating point, or codes of a quantized one.

    Of other integers their number says nothing.
    """
    if value.ndim < 2 or not (value.is_quantized or value.is_floating_point()):
        return None
    if value.is_quantized:
        # Values differ from channel to channel by their scales; what takes bits is codes.
        used = value.int_repr()[value.dequantize() != 0]
        return len(used.unique())  # type: ignore[no-untyped-call]
    return count_distinct(value.detach().float().numpy())
