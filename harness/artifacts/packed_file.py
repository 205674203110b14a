"""The packed format: one file with a graph, tensors that may be entropy coded, and a checksum over each part.

docs/packed-format.md describes it byte by byte. Reading gives numbers and texts and never runs anything.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np

from harness.artifacts import huffman, range_coding
from harness.artifacts.packed_bytes import DTYPES, Cursor, Tensor, elements, narrowed, number, raw, room, widened, width
from harness.artifacts.palette import palettes, shaped
from harness.errors import ArtifactError

MAGIC, VERSION = b"WGHP", 1
Coding = Literal["huffman", "range"]
# How a tensor's elements are kept; the place is the code in a file.
ENCODINGS = ("raw", "float16", "huffman", "range")
CODERS: Mapping[str, ModuleType] = {"huffman": huffman, "range": range_coding}
CHECKSUM = 4
# Of the text with the graph, decompressed; that of a language model with 24 layers takes some 200 kB.
LARGEST_HEAD = 2**22
# What a decoder may meet where the checksums hold and the content is nonsense all the same.
NONSENSE = (
    EOFError,
    ValueError,
    IndexError,
    AssertionError,
    OverflowError,
    MemoryError,
    TypeError,
    KeyError,
    RecursionError,
)

T = TypeVar("T")


def pack(graph: object, tensors: Mapping[str, Tensor], coding: Coding | None) -> bytes:
    """The bytes of a file.

    Args:
        graph: anything that JSON can hold.
        tensors: by name; their order is kept.
        coding: how tensors of few values are coded; None: every tensor is written as it is.
    """
    text = json.dumps({"tensors": list(tensors), "graph": graph}, separators=(",", ":"))
    squeeze = zlib.compressobj(9, wbits=-15)
    squeezed = squeeze.compress(text.encode()) + squeeze.flush()
    head = _sealed(MAGIC + bytes([VERSION]) + number(len(squeezed)) + squeezed)
    return head + b"".join(_sealed(_section(tensor, coding)) for tensor in tensors.values())


def unpack(content: bytes) -> tuple[Any, dict[str, Tensor]]:
    """The graph and the tensors of a file.

    Raises:
        ArtifactError: the file is of another kind, truncated or damaged; the sentence names the part and the check.
    """
    cursor = Cursor(content)
    graph, sections = _sections(cursor)
    tensors, left = {}, room(len(content))
    for name, part, section in sections:
        left -= math.prod(section.shape)
        if left < 0:
            raise ArtifactError(
                f"{part} cannot be decoded: with it the tensors of the packed file have more elements than the "
                f"{room(len(content)):,} that a file of {len(content):,} bytes may have"
            )
        try:
            tensors[name] = _tensor(section)
        except NONSENSE as error:
            raise ArtifactError(f"{part} cannot be decoded: {error}") from error
    return graph, tensors


def sizes(content: bytes) -> dict[str, tuple[str, int]]:
    """Of every tensor of a file, how its elements are kept and in how many bytes, its header included.

    Raises:
        ArtifactError: as `unpack` does.
    """
    _, sections = _sections(Cursor(content))
    return {name: (section.encoding, section.size) for name, _, section in sections}


def encodings(content: bytes) -> dict[str, int]:
    """How the elements of matrices, tensors of two axes or more, are kept: encoding → elements.

    Raises:
        ArtifactError: as `unpack` does.
    """
    _, sections = _sections(Cursor(content))
    kept: Counter[str] = Counter()
    for _, _, section in sections:
        if len(section.shape) > 1:
            kept[section.encoding] += elements(section.shape)
    return dict(kept)


@dataclass(frozen=True)
class _Section:
    """One tensor as it lies in a file."""

    dtype: str
    shape: tuple[int, ...]
    encoding: str
    payload: bytes
    size: int


def _sections(cursor: Cursor) -> tuple[Any, list[tuple[str, str, _Section]]]:
    """The graph; and of each tensor its name, what a sentence calls it, and its section, checksums verified."""
    head = _checked(cursor, "the head", _head)
    names = head["tensors"]
    found = []
    for place, name in enumerate(names, 1):
        part = f"the tensor {name!r} ({place} of {len(names)})"
        found.append((name, part, _checked(cursor, part, _section_of)))
    if cursor.left:
        raise ArtifactError(f"the packed file goes on for {cursor.left} bytes after its last tensor")
    return head["graph"], found


def _checked(cursor: Cursor, part: str, parse: Callable[[Cursor], T]) -> T:
    """What `parse` makes of the next part, if the checksum that follows holds."""
    start = cursor.at
    try:
        found = parse(cursor)
        content = cursor.since(start)
        checksum = int.from_bytes(cursor.take(CHECKSUM), "little")
    except EOFError as error:
        raise ArtifactError(f"the packed file is truncated or damaged: in {part}, {error}") from error
    except NONSENSE as error:
        raise ArtifactError(f"the packed file is damaged: in {part}, {error}") from error
    if zlib.crc32(content) != checksum:
        raise ArtifactError(f"the packed file is damaged: the checksum of {part} does not match")
    return found


def _sealed(part: bytes) -> bytes:
    return part + zlib.crc32(part).to_bytes(CHECKSUM, "little")


def _head(cursor: Cursor) -> dict[str, Any]:
    if (start := cursor.take(len(MAGIC))) != MAGIC:
        raise ValueError(f"it starts with {start!r}, and a packed file with {MAGIC!r}")
    if (version := cursor.take(1)[0]) != VERSION:
        raise ValueError(f"its version is {version}, and this program reads version {VERSION}")
    squeeze = zlib.decompressobj(wbits=-15)
    try:
        text = squeeze.decompress(cursor.take(cursor.number()), LARGEST_HEAD)
    except zlib.error as error:
        raise ValueError(f"the graph cannot be decompressed: {error}") from error
    if not squeeze.eof or squeeze.unused_data:
        raise ValueError("the graph does not end where it should")
    head = json.loads(text)
    if not isinstance(head, dict) or set(head) != {"tensors", "graph"}:
        raise ValueError("it should hold `tensors` and `graph`")
    names = head["tensors"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise ValueError("`tensors` should be a list of different names")
    return head


def _section(tensor: Tensor, coding: Coding | None) -> bytes:
    """Header and payload of a tensor, in the encoding that takes the fewest bytes."""
    kept = {"raw": raw(tensor.words)}
    if coding is not None:
        short, stored = narrowed(tensor.words, tensor.dtype)
        if stored != tensor.dtype:
            kept[stored] = raw(short)
        # Zeros stand apart in a sparse tensor, and are a value like any other in a dense one.
        for apart in (False, True) if (tensor.words == 0).any() else (False,):
            palette = palettes(tensor, apart=apart)
            if palette is not None:
                coded = CODERS[coding].write(palette, tensor.dtype)
                kept[coding] = min(kept.get(coding, coded), coded, key=len)
    encoding = min(kept, key=lambda one: len(kept[one]))
    axes = number(len(tensor.shape)) + b"".join(number(axis) for axis in tensor.shape)
    codes = bytes([DTYPES.index(tensor.dtype), ENCODINGS.index(encoding)])
    return codes + axes + number(len(kept[encoding])) + kept[encoding]


def _section_of(cursor: Cursor) -> _Section:
    start = cursor.at
    dtype, encoding = cursor.take(2)
    if dtype >= len(DTYPES) or encoding >= len(ENCODINGS):
        raise ValueError(f"its type has the code {dtype} and its encoding {encoding}, which mean nothing")
    shape = tuple(cursor.number() for _ in range(cursor.number()))
    elements(shape)
    payload = cursor.take(cursor.number())
    return _Section(DTYPES[dtype], shape, ENCODINGS[encoding], payload, cursor.at - start + CHECKSUM)


def _tensor(section: _Section) -> Tensor:
    cursor, dtype, shape = Cursor(section.payload), section.dtype, section.shape
    count = elements(shape)
    if section.encoding in CODERS:
        rows, columns = shaped(shape)
        palette = CODERS[section.encoding].read(cursor, dtype, rows, columns)
        words = palette.words(np.zeros(count, f"<u{width(dtype)}"))
    else:
        stored = dtype if section.encoding == "raw" else section.encoding
        words = widened(cursor.words(count, stored), stored, dtype)
    if cursor.left:
        raise ValueError(f"{cursor.left} bytes of it are left over")
    return Tensor(dtype, shape, words)
