"""Integer codes in the place of a graph's float weights, as OpenVINO's own kernels read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.artifacts.openvino import import_openvino, layers
from harness.errors import ArtifactError


@dataclass(frozen=True)
class Coded:
    """A weight matrix as integers.

    Attributes:
        codes: uint8, shape (rows, groups, columns a group).
        scales: float16, shape (rows, groups).
        zeros: uint8 zero points, shape (rows, groups); None where codes count from the middle.
        bits: of a code.
    """

    codes: np.ndarray[Any, Any]
    scales: np.ndarray[Any, Any]
    zeros: np.ndarray[Any, Any] | None
    bits: int

    @property
    def width(self) -> int:
        """Bits that OpenVINO stores a code in: it knows 4 and 8."""
        return 4 if self.bits <= 4 else 8

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """What the codes stand for, float32 of shape (rows, columns)."""
        middle = 2.0 ** (self.bits - 1) if self.zeros is None else self.zeros.astype(np.float32)[..., None]
        wide = (self.codes.astype(np.float32) - middle) * self.scales.astype(np.float32)[..., None]
        return wide.reshape(len(wide), -1)


def write(model: Any, coded: Mapping[str, Coded]) -> None:
    """Put codes in the place of the constants of some layers; a constant that several share is replaced once.

    Args:
        model: an OpenVINO graph whose layers carry the names of the modules that they came from.
        coded: name of a layer → its weights.

    Raises:
        ArtifactError: the graph has no such layer, or holds other weights in it.
    """
    held = {node.get_friendly_name(): weight for node, weight in layers(model)}
    done: set[str] = set()
    for name, matrix in coded.items():
        if name not in held:
            raise ArtifactError(f"the graph has no layer {name} that holds a weight matrix")
        constant = held[name].constant
        if constant.get_name() in done:
            continue
        done.add(constant.get_name())
        own = constant.data
        if own.shape != matrix.values.shape or not np.allclose(own[:8], matrix.values[:8], rtol=1e-3, atol=1e-6):
            raise ArtifactError(f"the graph's {name} holds other weights than the layer that it came from")
        new = _widening(matrix, own.shape).output(0)
        for target in constant.output(0).get_target_inputs():
            target.replace_source_output(new)
    model.validate_nodes_and_infer_types()


def _widening(matrix: Coded, shape: tuple[int, ...]) -> Any:
    """The nodes that make float32 weights of codes, in the order in which OpenVINO's kernels look for them."""
    openvino = import_openvino()
    opset = __import__("openvino.opset13", fromlist=["opset13"])
    signed = matrix.zeros is None
    kind = getattr(openvino.Type, f"{'i' if signed else 'u'}{matrix.width}")
    middle = 2 ** (matrix.bits - 1) if signed else 0
    wide = opset.convert(_constant(matrix.codes.astype(np.int16) - middle, kind, matrix.width), "f16")
    if matrix.zeros is not None:
        zeros = _constant(matrix.zeros[..., None].astype(np.int16), kind, matrix.width)
        wide = opset.subtract(wide, opset.convert(zeros, "f16"))
    scaled = opset.multiply(wide, openvino.op.Constant(matrix.scales[..., None].astype(np.float16)))
    flat = opset.reshape(scaled, openvino.op.Constant(np.array(shape, dtype=np.int64)), special_zero=False)
    return opset.convert(flat, "f32")


def _constant(codes: np.ndarray[Any, Any], kind: Any, width: int) -> Any:
    openvino = import_openvino()
    low = (codes & (2**width - 1)).astype(np.uint8).reshape(-1)
    if width == 4:
        low = np.append(low, np.zeros(len(low) % 2, dtype=np.uint8))
        low = low[::2] | (low[1::2] << 4)
    # Memory of its own: one made of an array would point into it, and be read after the array is gone.
    held = openvino.Tensor(kind, list(codes.shape))
    held.data.view(np.uint8).reshape(-1)[:] = low
    return openvino.op.Constant(held)
