"""What each coder makes of the same tensors: bytes, and the time to write and to read them.

    python benchmarks/packed_coders.py FILE.packed [FILE.packed …]

For files that `--export` or the cache holds. The general-purpose compressors get what a program without a format would
give them: the float32 weights as they lie in memory.
"""

from __future__ import annotations

import argparse
import bz2
import lzma
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from harness.artifacts import packed_file
from harness.artifacts.packed_bytes import Tensor, raw


def timed(work: Callable[[], object], least_s: float = 0.2) -> float:
    """Least seconds of a call."""
    best, started = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - started < least_s:
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return best


def compare(path: Path) -> None:
    """Print one line a coder."""
    content = path.read_bytes()
    graph, tensors = packed_file.unpack(content)
    plain = packed_file.pack(graph, tensors, None)
    elements = sum(tensor.words.size for tensor in tensors.values())
    print(f"{path}: {elements:,} elements, {len(plain):,} bytes as they are, {len(content):,} in the file")
    print("| coder | bytes | times smaller | writing, s | reading, s | million elements read a second |")
    print("|---|---|---|---|---|---|")
    for coder in ("huffman", "range"):
        made: list[bytes] = []
        writing = timed(lambda coder=coder, made=made: made.append(packed_file.pack(graph, tensors, coder)), 0.0)
        reading = timed(lambda made=made: packed_file.unpack(made[0]))
        show(coder, len(made[0]), len(plain), writing, reading, elements)
    weights = everything(tensors)
    for name, squeeze, widen in (
        ("zlib", lambda text: zlib.compress(text, 9), zlib.decompress),
        ("bz2", bz2.compress, bz2.decompress),
        ("xz", lambda text: lzma.compress(text, preset=9 | lzma.PRESET_EXTREME), lzma.decompress),
    ):
        squeezed = squeeze(weights)
        writing = timed(lambda squeeze=squeeze: squeeze(weights), 0.0)
        show(name, len(squeezed), len(plain), writing, timed(lambda widen=widen, text=squeezed: widen(text)), elements)


def everything(tensors: dict[str, Tensor]) -> bytes:
    """All tensors' bytes, one after the other."""
    return b"".join(raw(tensor.words) for tensor in tensors.values())


def show(name: str, size: int, plain: int, writing: float, reading: float, elements: int) -> None:
    """One row."""
    print(
        f"| {name} | {size:,} | {plain / size:.1f} | {writing:.2f} | {reading:.4f} | {elements / reading / 1e6:.1f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    for one in parser.parse_args().files:
        compare(one)
