"""Whole numbers and tensors as bytes, for the packed format: see docs/packed-format.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ArtifactError

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]
# The order is the code in a file.
DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "int32": 4, "int16": 2, "int8": 1}
# What a reader makes room for at most, whatever the length of the file, and of a short one: a header of a few bytes
# must not ask for all memory. The sparsest models that are of any use have some dozen elements a byte.
MOST_ELEMENTS, LEAST_ROOM, ELEMENTS_A_BYTE = 2**31, 2**22, 2**10
# As many as torch's own kernels take.
MOST_AXES = 64


def width(dtype: str) -> int:
    """Bytes of an element."""
    return WIDTHS.get(dtype, 1)


@dataclass(frozen=True)
class Tensor:
    """A tensor's bits.

    Attributes:
        dtype: one of `DTYPES`.
        shape: its axes.
        words: shape (elements,), unsigned integers of the element's width: equal words, equal bits.
    """

    dtype: str
    shape: tuple[int, ...]
    words: Array


def words_of(tensor: torch.Tensor) -> Tensor:
    """The bits of a torch tensor.

    Raises:
        ArtifactError: the format has no code for its type.
    """
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise ArtifactError(f"the packed format stores no {dtype}; it stores {', '.join(DTYPES)}")
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return Tensor(dtype, tuple(tensor.shape), raw.view(f"<u{width(dtype)}"))


def tensor_of(stored: Tensor) -> torch.Tensor:
    """The torch tensor of these bits."""
    import torch

    dtype = getattr(torch, stored.dtype)
    raw = np.ascontiguousarray(stored.words.astype(f"<u{width(stored.dtype)}")).view(np.uint8)
    return torch.from_numpy(raw.copy()).view(dtype).reshape(stored.shape)


def narrowed(words: Array, dtype: str) -> tuple[Array, str]:
    """Words as float16, where that holds every one of these float32 values exactly; else as they are."""
    if dtype != "float32":
        return words, dtype
    values = words.astype("<u4").view("<f4")
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if np.array_equal(half.astype("<f4").view("<u4"), words):
        return half.view("<u2"), "float16"
    return words, dtype


def widened(words: Array, stored: str, dtype: str) -> Array:
    """The words that `narrowed` was given.

    Raises:
        ValueError: no narrowing leads from the one type to the other.
    """
    if stored == dtype:
        return words
    if (stored, dtype) != ("float16", "float32"):
        raise ValueError(f"{dtype} is not kept as {stored}")
    return words.astype("<u2").view("<f2").astype("<f4").view("<u4")


def number(value: int) -> bytes:
    """A whole number, seven bits a byte, least first; the top bit says that more follow (LEB128)."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def raw(words: Array) -> bytes:
    """Words, little-endian."""
    return words.astype(words.dtype.newbyteorder("<")).tobytes()


class Cursor:
    """Reads bytes in order, and never past their end."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            EOFError: fewer are left.
        """
        if not 0 <= count <= self.left:
            raise EOFError(f"{count} bytes are to follow, and {self.left} are left")
        self._at += count
        return self._content[self._at - count : self._at]

    @property
    def left(self) -> int:
        """Bytes that were not read."""
        return len(self._content) - self._at

    def since(self, start: int) -> bytes:
        """What was read from that place on."""
        return self._content[start : self._at]

    @property
    def at(self) -> int:
        """Bytes that were read."""
        return self._at

    def number(self) -> int:
        """A number that `number` wrote.

        Raises:
            EOFError, ValueError: it ends too early, or takes more than 63 bits.
        """
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number takes more than 63 bits")

    def words(self, count: int, dtype: str) -> Array:
        """So many words of a type's width."""
        if count > self.left:
            raise EOFError(f"{count} values are to follow, and {self.left} bytes are left")
        return np.frombuffer(self.take(count * width(dtype)), f"<u{width(dtype)}").copy()


def elements(shape: tuple[int, ...]) -> int:
    """How many elements a shape has.

    Raises:
        ValueError: more than a reader makes room for, or too many axes.
    """
    if len(shape) > MOST_AXES:
        raise ValueError(f"{len(shape)} axes are more than the {MOST_AXES} that the format allows")
    count = math.prod(shape)
    if count > MOST_ELEMENTS:
        raise ValueError(f"{count:,} elements are more than the format allows")
    return count


def room(size: int) -> int:
    """Elements that a reader makes room for in all tensors of a file of so many bytes."""
    return min(MOST_ELEMENTS, max(LEAST_ROOM, ELEMENTS_A_BYTE * size))
