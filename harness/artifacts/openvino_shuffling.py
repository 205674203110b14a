"""Permuting the weights of one layer of an OpenVINO graph, in the ``.bin`` beside it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from harness.artifacts.openvino import import_openvino, layers
from harness.artifacts.shuffling import inner, permuted
from harness.errors import Unmeasurable


def shuffle_openvino(folder: Path, seed: int) -> str:
    """Permute a layer of an ``.xml`` graph in the ``.bin`` beside it; returns the name of the layer.

    Weights of less than eight bits change places by whole bytes.
    """
    (path,) = folder.glob("*.xml")
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
