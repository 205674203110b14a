"""Simulated quantizers in a graph of OpenVINO, as NNCF puts them, and how one layer is fed without."""

from __future__ import annotations

from typing import Any

from harness.errors import MethodError

# Operators that move or choose values and change none: NNCF may put a layer's quantizer before them.
PASSING = frozenset(
    {
        "BatchToSpace",
        "Broadcast",
        "Concat",
        "DepthToSpace",
        "Gather",
        "MaxPool",
        "Pad",
        "ReduceMax",
        "Reshape",
        "ShuffleChannels",
        "SpaceToBatch",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "StridedSlice",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "VariadicSplit",
    }
)


def bypass_quantizer(node: Any) -> None:
    """Feed a layer what its input was before it was quantized; what only moves or chooses values may lie between.

    Raises:
        MethodError: there is no quantizer.
    """
    port = node.input(0)
    before = _unquantized(port.get_source_output())
    if before is None:
        kind = port.get_source_output().get_node().get_type_name()
        raise MethodError(
            f"float_inputs: no quantizer was found before {node.get_friendly_name()} that could be taken away (its "
            f"input comes from a {kind}): leave it out, or name the layer in `keep_float`"
        )
    port.replace_source_output(before)


def _unquantized(output: Any) -> Any:
    """An output without the quantizers that it comes from; None where one of its sources has none."""
    from openvino.utils.node_factory import NodeFactory

    node = output.get_node()
    kind = node.get_type_name()
    if kind == "FakeQuantize":
        return node.input_value(0)
    if kind not in PASSING:
        return None
    given = node.input_values()
    # Of all others, what follows the first input are settings.
    several = len(given) if kind == "Concat" else 1
    found = [one if one.get_node().get_type_name() == "Constant" else _unquantized(one) for one in given[:several]]
    if any(one is None for one in found):
        return None
    # A copy: other layers that read from this one keep their quantizer.
    copied = NodeFactory(node.get_type_info().version_id).create(
        kind, [*found, *given[several:]], node.get_attributes()
    )
    return copied.output(output.get_index())
