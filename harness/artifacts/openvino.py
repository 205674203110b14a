"""Reading an OpenVINO graph: which constants are weights, how they are stored, and what a layer is called."""

from __future__ import annotations

import importlib
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from harness.artifacts.openvino_operators import (
    LAYERS,
    PLAIN,
    RECURRENT,
    THROUGH,
    VECTORS,
    bodies,
    operations,
    roles_of,
)
from harness.errors import Unmeasurable
from harness.evidence import TensorFact

# The code of zero in the 4-bit NormalFloat table (Dettmers et al., "QLoRA", 2023, appendix E).
_NF4_ZERO = 7
_DTYPES = {"boolean": "bool", "f": "float", "bf": "bfloat", "i": "int", "u": "uint"}


def import_openvino() -> ModuleType:
    """The package `openvino`, imported with its telemetry off.

    Importing it would otherwise send usage events and write a client id below the home directory. Where the telemetry
    package cannot be imported, OpenVINO and NNCF fall back on stubs of their own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def is_decoder(model: Any) -> bool:
    """Whether a graph is a language model that keeps its keys and values itself, as optimum-intel exports it."""
    return bool(model.get_sinks()) and "input_ids" in _input_names(model)


def decoder_inputs(model: Any, tokens: np.ndarray[Any, Any], before: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """What a decoder is fed.

    Args:
        model: the graph, or what it was compiled to.
        tokens: int64, shape (batch, tokens): those that follow what it keeps already.
        before: how many that is.
    """
    batch, length = tokens.shape
    places = np.arange(before, before + length, dtype=np.int64)
    known = {
        "input_ids": tokens,
        "attention_mask": np.ones((batch, before + length), dtype=np.int64),
        "position_ids": np.broadcast_to(places, (batch, length)).copy(),
        "beam_idx": np.arange(batch, dtype=np.int32),
    }
    return {name: known[name] for name in _input_names(model)}


def _input_names(model: Any) -> list[str]:
    return [port.get_any_name() for port in model.inputs if port.get_names()]


@dataclass(frozen=True)
class Stored:
    """A constant that some operator uses as its operand.

    Attributes:
        constant: the OpenVINO constant, in the type that the file holds.
        zero_point: what is subtracted from it when it is decompressed; broadcasts against it.
    """

    constant: Any
    zero_point: np.ndarray[Any, Any] | int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape as stored."""
        return tuple(int(size) for size in self.constant.get_output_shape(0))

    @property
    def dtype(self) -> str:
        """Its type as stored, named as numpy names it: ``float32``, ``int8``, ``uint4``."""
        name: str = self.constant.get_output_element_type(0).get_type_name()
        stem = name.rstrip("0123456789")
        return _DTYPES.get(stem, stem) + name[len(stem) :]

    def array(self) -> np.ndarray[Any, Any]:
        """Its elements as stored; below eight bits their codes, unpacked to uint8."""
        bits = self.constant.get_output_element_type(0).bitwidth
        data: np.ndarray[Any, Any] = self.constant.data
        if bits < 8:
            codes = data.reshape(-1, 1).view(np.uint8) >> np.arange(0, 8, bits, dtype=np.uint8)
            data = (codes & (2**bits - 1)).reshape(-1)[: int(np.prod(self.shape))]
        return data.reshape(self.shape)

    def fact(self, name: str, weight: bool, used_by: Iterable[str] = ()) -> TensorFact:
        """Its counts; a vector is told without the axes of size one that only let it broadcast."""
        shape = self.shape if weight and name.endswith(".weight") else tuple(size for size in self.shape if size != 1)
        zero = _NF4_ZERO if self.dtype == "nf4" else self.zero_point
        zeros = np.count_nonzero(self.array() == zero)
        kinds = tuple(sorted(used_by))
        return TensorFact(
            name=name, dtype=self.dtype, shape=shape, zeros=int(zeros), weight=weight, used_by=kinds,
            roles=roles_of(kinds, name),
        )  # fmt: skip


def stored(output: Any) -> Stored | None:
    """The constant behind an operand, through whatever decompresses it; None where the operand is an activation."""
    node = output.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        return Stored(node)
    if kind not in THROUGH:
        return None
    if kind not in ("Multiply", "Subtract"):
        return stored(node.input_value(0))
    sides = [stored(node.input_value(port)) for port in (0, 1)]
    if sides[0] is None or sides[1] is None:
        return None
    if kind == "Subtract":
        return Stored(sides[0].constant, sides[1].array())
    return max(sides, key=lambda side: 0 if side is None else int(np.prod(side.shape)))


def widened(output: Any, total: int, rows: slice) -> np.ndarray[Any, Any] | None:
    """Some rows of a weight matrix as its layer multiplies with it; None where the operand is an activation.

    Args:
        output: the operand.
        total: rows of the whole matrix.
        rows: those that are wanted.
    """
    node = output.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        found = Stored(node)
        if not found.shape or found.shape[0] != total:
            return found.array()
        codes = found.array()[rows]
        # Codes below eight bits come without their sign.
        return ((codes ^ 8).astype(np.int16) - 8) if found.dtype == "int4" else codes
    if kind not in ("Convert", "Multiply", "Subtract", "Reshape"):
        return None
    one = widened(node.input_value(0), total, rows)
    if one is None or kind == "Convert":
        return None if one is None else one.astype(np.float32)
    if kind == "Reshape":
        return one.reshape(len(one), -1)
    other = widened(node.input_value(1), total, rows)
    if other is None:
        return None
    wide: np.ndarray[Any, Any] = one * other if kind == "Multiply" else one - other
    return wide


def layers(model: Any) -> Iterator[tuple[Any, Stored]]:
    """Every layer that holds a weight matrix, in topological order, with that matrix: of a recurrent one the first."""
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in LAYERS or kind in RECURRENT:
            weight = next(_matrices(node, RECURRENT[kind][:1] if kind in RECURRENT else None), None)
            if weight is not None:
                yield node, weight


def unknown(model: Any) -> Iterator[tuple[Any, Stored]]:
    """The matrices that go into operators of which it is not known here what they do with them."""
    for node in operations(model):
        kind = node.get_type_name()
        if kind not in LAYERS and kind not in RECURRENT and kind not in PLAIN:
            for matrix in _matrices(node):
                if sum(size > 1 for size in matrix.shape) > 1:
                    yield node, matrix


def require_formulas(model: Any, multiplying: Collection[str]) -> None:
    """Hold a graph to operators whose multiply-accumulates can be told from their shapes.

    Args:
        model: the graph.
        multiplying: the operators that have a formula.

    Raises:
        Unmeasurable: with the operator that has none.
    """
    for node, matrix in unknown(model):
        if node.get_type_name().startswith("Embedding"):
            # Rows are added up, of bags and segments.
            continue
        raise Unmeasurable(
            f"the multiply-accumulates of {node.get_type_name()} ({node.get_friendly_name()}), which takes a matrix of "
            f"shape {matrix.shape}, have no formula here: leave `macs_g` and `flops_g` out"
        )
    for node in model.get_ordered_ops():
        inner = {one.get_type_name() for body in bodies(node) for one in operations(body)} & set(multiplying)
        if inner:
            held = ", ".join(sorted(inner))
            raise Unmeasurable(
                f"{node.get_type_name()} ({node.get_friendly_name()}) holds {held}, and how often a loop or a branch "
                "runs them is not counted here: leave `macs_g` and `flops_g` out"
            )


def _matrices(node: Any, ports: Iterable[int] | None = None) -> Iterator[Stored]:
    """The constants that an operator takes, those apart that are integers to count or to choose by."""
    for port in range(node.get_input_size()) if ports is None else ports:
        found = stored(node.input_value(port))
        if found is not None and found.dtype not in ("int64", "int32", "bool"):
            yield found


def _held(model: Any) -> Iterator[tuple[Any, str, Stored]]:
    """Every weight that is no vector beside its layer: the operator, what the weight is to it, and the weight."""
    for node in operations(model):
        kind = node.get_type_name()
        if kind in RECURRENT:
            for port, name in zip(RECURRENT[kind], ("weight", "recurrent.weight", "bias"), strict=True):
                for weight in _matrices(node, [port]):
                    yield node, name, weight
        elif kind in LAYERS:
            for weight in islice(_matrices(node), 1):
                yield node, "weight", weight
    for place, (node, weight) in enumerate(unknown(model)):
        yield node, f"{place}.weight", weight


def facts(model: Any) -> tuple[TensorFact, ...]:
    """Every stored constant, once: weights by the layer that uses them, then all that is no parameter."""
    found: dict[str, TensorFact] = {}
    users: dict[str, set[str]] = defaultdict(set)
    held = list(_held(model))
    for node, _, weight in held:
        users[weight.constant.get_name()].add(node.get_type_name())
    for node, part, weight in held:
        name = weight.constant.get_name()
        fact = weight.fact(f"{node.get_friendly_name()}.{part}", True, users[name])
        if node.get_type_name() in RECURRENT:
            # The two directions of a recurrent layer stand one after the other along an axis of their own.
            last = (weight.shape[-1],) if part != "bias" else ()
            fact = fact.model_copy(update={"shape": (fact.elements // math.prod(last), *last)})
        found.setdefault(name, fact)
    for node in operations(model):
        if node.get_type_name() not in VECTORS:
            continue
        sides = [stored(node.input_value(port)) for port in (0, 1)]
        for side, other in ((0, 1), (1, 0)):
            vector, producer = sides[side], node.input_value(other).get_node()
            if vector is None or sides[other] is not None or "float" not in vector.dtype:
                continue
            after_layer = producer.get_type_name() in LAYERS
            if after_layer or int(np.prod(vector.shape)) > 1:
                owner = producer if after_layer else node
                name = f"{owner.get_friendly_name()}.{'bias' if node.get_type_name() == 'Add' else 'scale'}"
                found.setdefault(vector.constant.get_name(), vector.fact(name, True, [node.get_type_name()]))
    for node in operations(model):
        if node.get_type_name() == "Constant":
            found.setdefault(node.get_name(), Stored(node).fact(node.get_friendly_name(), False))
    return tuple(found.values())


def number_names(model: Any) -> None:
    """Name the graph plainly, and every operator but inputs and layers by its type and place.

    The names that OpenVINO and NNCF make up count all graphs of the process, so the same model would be written
    as different bytes each time.
    """
    kept = {node.get_name() for node, _ in layers(model)}
    kept |= {node.get_name() for node in model.get_ops() if node.get_type_name() == "Parameter"}
    model.set_friendly_name("model")
    counts: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        if node.get_name() not in kept:
            kind = node.get_type_name()
            node.set_friendly_name(f"{kind}_{counts[kind]}")
            counts[kind] += 1
