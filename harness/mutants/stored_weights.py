"""Permuting the weights of one layer where they are stored: in the artifact's files, whatever wrote them.

The file is changed and not the model before it is saved, so float32, float16 and packed int8 weights, and artifacts
that were compressed elsewhere, are all treated alike: the stored elements of the matrix change places, and nothing
else does.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.errors import Unmeasurable

T = TypeVar("T")


def inner(layers: Sequence[tuple[int, T]]) -> T:
    """The largest of some layers that is neither the first nor the last; of equals the first.

    Args:
        layers: how many elements, and what; in the order in which they run. Of one or two, the larger.

    Raises:
        Unmeasurable: there is no layer.
    """
    if not layers:
        raise Unmeasurable("the artifact stores no weight matrix of a linear layer or convolution")
    return max(layers[1:-1] or layers, key=lambda layer: layer[0])[1]


def permuted(raw: bytes, width: int, seed: int) -> bytes:
    """The elements, each of `width` bytes, in an order that the seed gives."""
    elements = np.frombuffer(raw, dtype=f"V{width}")
    return elements[np.random.default_rng(seed).permutation(elements.size)].tobytes()


def shuffle_torchscript(artifact: Path, seed: int) -> str:
    """Permute a layer of ``model.pt``; returns the name of its weight."""
    from harness.artifacts.torchscript_archive import read
    from harness.artifacts.torchscript_graph import stored

    path = artifact / "model.pt"
    name, raw, width = inner(
        [
            (fact.elements, (fact.name, *_bytes_of(value)))
            for fact, value in stored(read(path))
            if fact.matrix and not looked_up(fact.used_by)
        ]
    )
    with zipfile.ZipFile(path) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    holding = [info.filename for info, content in entries if _same_elements(content, raw, width)]
    if not holding:
        raise Unmeasurable(f"the weights of {name} do not lie in the file as one storage")
    # A new file in the old one's place: a reader may have mapped the old one.
    staged = path.with_suffix(".new")
    with zipfile.ZipFile(staged, "w") as archive:
        for info, content in entries:
            archive.writestr(info, permuted(content, width, seed) if info.filename == holding[0] else content)
    os.replace(staged, path)
    return name


def looked_up(operators: Sequence[str]) -> bool:
    """Whether a matrix is a table of embeddings. Codes that are decoded before they multiply are a layer like any."""
    return any("embedding" in one for one in operators)


def _bytes_of(value: Any) -> tuple[bytes, int]:
    """A tensor's elements, in whatever order, and the bytes of one."""
    import torch

    codes = value.detach().int_repr() if value.is_quantized else value.detach()
    return codes.contiguous().flatten().view(torch.uint8).numpy().tobytes(), codes.element_size()


def _same_elements(content: bytes, raw: bytes, width: int) -> bool:
    """Whether a storage holds these elements. Their order may differ: convolutions are stored channels last."""
    if len(content) != len(raw):
        return False
    one, other = (np.sort(np.frombuffer(part, dtype=f"u{width}")) for part in (content, raw))
    return bool(np.array_equal(one, other))


def shuffle_openvino(artifact: Path, seed: int) -> str:
    """Permute a layer of an ``.xml`` graph in the ``.bin`` beside it; returns the name of the layer.

    Weights of less than eight bits change places by whole bytes.
    """
    from harness.artifacts.openvino import import_openvino, layers

    (path,) = artifact.glob("*.xml")
    model = import_openvino().Core().read_model(path)
    found = [
        (
            int(np.prod(weight.shape)),
            (
                node.get_friendly_name(),
                weight.constant.get_friendly_name(),
                max(1, weight.constant.get_output_element_type(0).bitwidth // 8),
            ),
        )
        for node, weight in layers(model)
        if node.get_type_name() != "Gather"  # a table of embeddings
    ]
    layer: str
    layer, constant, width = inner(found)
    place = next(
        one.find("data") for one in ET.parse(path).iter("layer")
        if one.get("type") == "Const" and one.get("name") == constant
    )  # fmt: skip
    if place is None:
        raise Unmeasurable(f"the graph does not say where the weights of {layer} lie")
    start, size = int(place.get("offset", 0)), int(place.get("size", 0))
    weights = path.with_suffix(".bin")
    raw = weights.read_bytes()
    staged = weights.with_suffix(".new")
    staged.write_bytes(raw[:start] + permuted(raw[start : start + size], width, seed) + raw[start + size :])
    os.replace(staged, weights)
    return layer


def shuffle_packed(artifact: Path, seed: int) -> str:
    """Permute a layer of ``model.packed``; returns the name of its weight.

    The file is decoded and encoded anew by its own coder, so it may grow where the coder had used the order.
    """
    from harness.artifacts import packed_file
    from harness.artifacts.packed_bytes import Tensor

    path = artifact / "model.packed"
    content = path.read_bytes()
    graph, tensors = packed_file.unpack(content)
    name = inner(
        [
            (tensor.words.size, name)
            for name, tensor in tensors.items()
            if len(tensor.shape) > 1 and name not in graph["buffers"]
        ]
    )
    kept = {encoding for encoding, _ in packed_file.sizes(content).values()} - {"raw"}
    coding: packed_file.Coding | None = "range" if "range" in kept else "huffman" if kept else None
    old = tensors[name]
    order = np.random.default_rng(seed).permutation(old.words.size)
    changed = {**tensors, name: Tensor(old.dtype, old.shape, old.words[order])}
    path.write_bytes(packed_file.pack(graph, changed, coding))
    return name
