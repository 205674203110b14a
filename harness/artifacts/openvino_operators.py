"""OpenVINO's operators by what their constants are to them, and all that a graph holds, loops and branches included."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.evidence import Role

# Layers whose constant operand is a weight matrix.
LAYERS = frozenset(
    {
        "Convolution",
        "ConvolutionBackpropData",
        "Einsum",
        "Gather",
        "GroupConvolution",
        "GroupConvolutionBackpropData",
        "MatMul",
    }
)
# Recurrent layers, and the ports of what they learned: input weights, recurrent weights, bias.
RECURRENT = {
    "GRUCell": (2, 3, 4), "GRUSequence": (3, 4, 5), "LSTMCell": (3, 4, 5), "LSTMSequence": (4, 5, 6),
    "RNNCell": (2, 3, 4), "RNNSequence": (3, 4, 5),
}  # fmt: skip
# What operators do with a matrix that they take; of those that are not here, nothing that a step is held to.
_ROLES: Mapping[str, frozenset[Role]] = {
    "BinaryConvolution": frozenset({Role.CONVOLVED}),
    # It stands before a layer, and is not seen through: which layer that is cannot be told.
    "ConvertPromoteTypes": frozenset({Role.CONVOLVED, Role.MULTIPLIED}),
    "Convolution": frozenset({Role.CONVOLVED, Role.MULTIPLIED}),
    "ConvolutionBackpropData": frozenset({Role.CONVOLVED, Role.MULTIPLIED}),
    "DeformableConvolution": frozenset({Role.CONVOLVED}),
    "Einsum": frozenset({Role.STACKED}),
    "Gather": frozenset({Role.LOOKED_UP}),
    "GroupConvolution": frozenset({Role.CONVOLVED, Role.MULTIPLIED}),
    "GroupConvolutionBackpropData": frozenset({Role.CONVOLVED, Role.MULTIPLIED}),
    "MatMul": frozenset({Role.MULTIPLIED, Role.STACKED}),
}
# How evidence calls a buffer that is indexed: by a Gather's own name, and not by a layer's.
_INDEXED = re.compile(r"(^|/)Gather(_\d+)?\.weight$")
# Elementwise operators whose constant operand is a learned vector: a bias, or the scale of a normalization.
VECTORS = frozenset({"Add", "Divide", "Multiply", "PRelu", "Subtract"})
# What stands between a stored weight and its layer: decompression, simulated quantization, a change of layout.
THROUGH = frozenset({"Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract", "Transpose", "Unsqueeze"})
# What moves, compares, joins or adds up numbers, and multiplies them one by one at most: its constants are no matrices.
PLAIN = VECTORS | THROUGH | {
    "Assign", "BatchNormInference", "BatchToSpace", "Broadcast", "Bucketize", "Clamp", "Concat", "ConvertLike",
    "CumSum", "DepthToSpace", "DetectionOutput", "Equal", "FakeConvert", "FloorMod", "GatherElements",
    "GatherND", "GatherTree", "Greater", "GreaterEqual", "GridSample", "GroupNormalization", "Interpolate",
    "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "LogicalXor", "MVN", "Maximum", "Minimum",
    "Mod", "NonMaxSuppression", "NormalizeL2", "NotEqual", "OneHot", "Pad", "Power", "RMS", "ROIAlign",
    "ROIPooling", "Range", "ReadValue", "Result", "Reverse", "ReverseSequence", "Roll",
    "ScaledDotProductAttention", "ScatterElementsUpdate", "ScatterNDUpdate", "ScatterUpdate", "SearchSorted",
    "Select", "ShapeOf", "ShuffleChannels", "Slice", "SliceScatter", "SpaceToBatch", "SpaceToDepth", "Split",
    "SquaredDifference", "Squeeze", "StridedSlice", "Tile", "TopK", "VariadicSplit",
}  # fmt: skip


def operations(model: Any) -> Iterator[Any]:
    """Every operator in topological order; those inside of a loop or a branch after the operator that holds them."""
    for node in model.get_ordered_ops():
        yield node
        for body in bodies(node):
            yield from operations(body)


def bodies(node: Any) -> list[Any]:
    """The graphs that an operator holds: what a loop repeats, or the two ways of a branch."""
    kind = node.get_type_name()
    if kind == "If":
        return [node.get_function(index) for index in (0, 1)]
    return [node.get_function()] if kind in ("Loop", "TensorIterator") else []


def roles_of(kinds: Collection[str], name: str) -> tuple[Role, ...] | None:
    """What operators do with a constant; None where there are none.

    Args:
        kinds: the operators.
        name: what evidence calls the constant.
    """
    if not kinds:
        return None
    found = set[Role]().union(*(_ROLES.get(kind, frozenset()) for kind in kinds))
    if Role.LOOKED_UP in found and _INDEXED.search(name) and "aten::embedding" not in name:
        found = found - {Role.LOOKED_UP} | {Role.INDEXED}
    return tuple(sorted(found))
