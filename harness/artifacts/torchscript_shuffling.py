"""Permuting the weights of one layer in a TorchScript file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.shuffling import inner, permuted
from harness.artifacts.torchscript_archive import read
from harness.artifacts.torchscript_graph import stored
from harness.errors import Unmeasurable
from harness.evidence import Role


def shuffle_torchscript(path: Path, seed: int) -> str:
    """Permute a layer of a TorchScript file; returns the name of its weight."""
    name, raw, width = inner(
        [
            (fact.elements, (fact.name, *_bytes_of(value)))
            for fact, value in stored(read(path))
            # Codes that are decoded before they multiply are a layer like any; a table of embeddings is none.
            if fact.matrix and not fact.plays(Role.LOOKED_UP)
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
