"""Permuting the weights of one layer in a packed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.artifacts import packed_file
from harness.artifacts.packed_bytes import Tensor
from harness.artifacts.shuffling import inner


def shuffle_packed(path: Path, seed: int) -> str:
    """Permute a layer of a packed file; returns the name of its weight.

    The file is decoded and encoded anew by its own coder, so it may grow where the coder had used the order.
    """
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
