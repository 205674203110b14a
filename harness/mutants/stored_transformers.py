"""Permuting the weights of one layer in a folder of transformers: in its safetensors files, where they lie."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from harness.errors import Unmeasurable
from harness.mutants.stored_weights import inner, looked_up, permuted

# Bytes of the number that a safetensors file opens with: how long the header after it is.
WORD = 8
# What evidence puts before the names that the files have.
PREFIX = "language_model."


def header(content: bytes) -> tuple[int, dict[str, Any]]:
    """Where the tensors of a safetensors file begin, and what its header says of each.

    Returns:
        Bytes from the start of the file, and name → ``dtype``, ``shape``, ``data_offsets`` (from where tensors begin).
    """
    end = WORD + int.from_bytes(content[:WORD], "little")
    said: dict[str, Any] = json.loads(content[WORD:end])
    return end, said


def shuffle_transformers(artifact: Path, seed: int) -> str:
    """Permute a layer of a folder as ``save_pretrained`` writes it; returns the name of its weight.

    Layers stand in the order of the reloaded model. Tables of embeddings are left, in float and in codes; of codes that
    are kept in several pieces, one piece is permuted.

    Raises:
        Unmeasurable: there is no layer, or no file holds it under its name.
    """
    from harness.runtimes.transformers import TransformersRuntime

    tables = _coded_tables(artifact)
    name = inner(
        [
            (fact.elements, fact.name.removeprefix(PREFIX))
            for fact in TransformersRuntime().load(artifact, 1).evidence().tensors
            if fact.matrix and not looked_up(fact.used_by) and not fact.name.startswith(tables)
        ]
    )
    for path in sorted(artifact.glob("*.safetensors")):
        content = path.read_bytes()
        end, said = header(content)
        if name in said:
            start, stop = (end + offset for offset in said[name]["data_offsets"])
            width = max(1, (stop - start) // math.prod(said[name]["shape"]))
            # A new file in the old one's place: a reader may have mapped the old one.
            staged = path.with_suffix(".new")
            staged.write_bytes(content[:start] + permuted(content[start:stop], width, seed) + content[stop:])
            os.replace(staged, path)
            return name
    raise Unmeasurable(f"no safetensors file of the artifact holds {name}")


def _coded_tables(artifact: Path) -> tuple[str, ...]:
    """How the names of tensors begin that are the codes of an embedding."""
    from harness.artifacts.quantized_layers import FILE, GroupedEmbedding, parse

    path = artifact / FILE
    layers = parse(path.read_text()) if path.is_file() else {}
    return tuple(f"{PREFIX}{name}." for name, layer in layers.items() if isinstance(layer, GroupedEmbedding))
