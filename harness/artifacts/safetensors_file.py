"""The safetensors files of a folder: what their headers say, and one tensor's elements permuted where they lie."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from harness.artifacts.shuffling import permuted
from harness.errors import Unmeasurable

# Bytes of the number that a file opens with: how long the header after it is.
WORD = 8


def header(content: bytes) -> tuple[int, dict[str, Any]]:
    """Where the tensors of a file begin, and what its header says of each.

    Returns:
        Bytes from the start of the file, and name → ``dtype``, ``shape``, ``data_offsets`` (from where tensors begin).
    """
    end = WORD + int.from_bytes(content[:WORD], "little")
    said: dict[str, Any] = json.loads(content[WORD:end])
    return end, said


def shuffle_tensor(folder: Path, name: str, seed: int) -> None:
    """Permute the elements of a tensor in the file that holds it.

    Raises:
        Unmeasurable: no file holds it under its name.
    """
    for path in sorted(folder.glob("*.safetensors")):
        content = path.read_bytes()
        end, said = header(content)
        if name in said:
            start, stop = (end + offset for offset in said[name]["data_offsets"])
            width = max(1, (stop - start) // math.prod(said[name]["shape"]))
            # A new file in the old one's place: a reader may have mapped the old one.
            staged = path.with_suffix(".new")
            staged.write_bytes(content[:start] + permuted(content[start:stop], width, seed) + content[stop:])
            os.replace(staged, path)
            return
    raise Unmeasurable(f"no safetensors file of the artifact holds {name}")
