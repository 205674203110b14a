"""Canonical Huffman codes, and tensors in them: codebook indices, and gaps between the elements that have one.

S. Han, H. Mao, W. Dally, "Deep Compression", 2016, sections 2 and 4. The package bitarray makes and reads the codes.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np

from harness.artifacts.packed_bytes import Array, Cursor, number
from harness.artifacts.palette import LARGEST_BOOK, Palette, read_books, write_books

# Gaps are told in so many bits (Han et al., figure 2: 8 for convolutions and 5 for linear layers); 0: no gaps at all.
SPANS = tuple(range(2, 9))
LENGTH_BITS = 6


def lengths(counts: Array) -> Array:
    """Bits of each symbol's code word: a Huffman code's, so their mean is the least that whole bits allow.

    Args:
        counts: shape (symbols,), how often each occurs; 0 for never.

    Returns:
        Shape (symbols,); 0 where a symbol does not occur. A lone symbol takes one bit.
    """
    from bitarray.util import huffman_code

    found = np.zeros(len(counts), np.int64)
    present = Counter({int(symbol): int(counts[symbol]) for symbol in np.flatnonzero(counts)})
    if present:
        for symbol, code in huffman_code(present).items():
            found[symbol] = max(1, len(code))
    return found


def _order(size: Array) -> tuple[list[int], list[int]]:
    """How many codes have each length, and the symbols in the order of their codes: what makes a code canonical."""
    symbols = [int(one) for one in np.lexsort((np.arange(len(size)), size)) if size[one]]
    return np.bincount(size[size > 0], minlength=1).tolist(), symbols


def encode(symbols: Array, size: Array) -> bytes:
    """Symbols in the canonical code of these lengths, the last byte filled with zeros.

    Args:
        symbols: shape (n,).
        size: bits of each symbol's code word.
    """
    from bitarray import bitarray
    from bitarray.util import int2ba

    _, order = _order(size)
    book, code, before = {}, 0, 0
    for symbol in order:
        code <<= int(size[symbol]) - before
        before = int(size[symbol])
        book[symbol] = int2ba(code, length=before)
        code += 1
    bits = bitarray()
    bits.encode(book, symbols.tolist())
    return bits.tobytes()


def decode(content: bytes, size: Array, count: int) -> Array:
    """The first `count` symbols of what `encode` wrote.

    Raises:
        ValueError: the lengths make no code, or the bits spell too few symbols.
    """
    from bitarray import bitarray
    from bitarray.util import canonical_decode

    if count == 0:
        return np.zeros(0, np.int64)
    if float((0.5 ** size[size > 0]).sum()) > 1:
        raise ValueError("the lengths of the code words contradict each other")
    bits = bitarray()
    bits.frombytes(content)
    per_length, order = _order(size)
    found = np.fromiter(islice(canonical_decode(bits, per_length, order), count), np.int64)
    if len(found) != count:
        raise ValueError(f"{count} symbols are to follow, and {len(found)} do")
    return found


def write(palette: Palette, dtype: str) -> bytes:
    """Codebooks, and both streams in Huffman codes; the bits that tell a gap are those that give the shortest."""
    head = write_books(palette, dtype)
    index = _stream(palette.index, palette.largest)
    if palette.mask is None:
        return head + bytes([0]) + index
    places = np.flatnonzero(palette.mask)
    told = min((bytes([span]) + _gaps(places, span) for span in SPANS), key=len)
    return head + told + index


def read(cursor: Cursor, dtype: str, rows: int, columns: int) -> Palette:
    """The palette that `write` was given.

    Raises:
        EOFError, ValueError: it is not what `write` writes.
    """
    group, books = read_books(cursor, dtype, rows)
    span = cursor.take(1)[0]
    mask: Array | None = None
    if span:
        if span not in SPANS:
            raise ValueError(f"gaps of {span} bits")
        gaps = _symbols(cursor, 2**span)
        mask = np.zeros((rows, columns), bool)
        mask.ravel()[_places(gaps, span, mask.size)] = True
    index = _symbols(cursor, LARGEST_BOOK)
    expected = rows * columns if mask is None else int(mask.sum())
    if len(index) != expected:
        raise ValueError(f"{len(index)} indices for {expected} elements")
    return Palette(rows, columns, group, books, mask, index)


def relative(places: Array, span: int) -> Array:
    """Gaps between indexed elements in `span` bits: how many zeros lie before each.

    The greatest number means that so many zeros are skipped and no element follows yet, where Han et al. store a zero.
    """
    reach = 2**span - 1
    zeros = np.diff(places, prepend=-1) - 1
    skips, rest = np.divmod(zeros, reach)
    out = np.full(int(skips.sum()) + len(places), reach)
    out[np.cumsum(skips + 1) - 1] = rest
    return out


def _places(gaps: Array, span: int, size: int) -> Array:
    reach = 2**span - 1
    at = np.cumsum(np.where(gaps == reach, reach, gaps + 1))
    places: Array = at[gaps != reach] - 1
    if len(places) and places[-1] >= size:
        raise ValueError("an element lies outside the tensor")
    return places


def _gaps(places: Array, span: int) -> bytes:
    return _stream(relative(places, span), 2**span)


def _stream(symbols: Array, alphabet: int) -> bytes:
    """Count, lengths of the code words, and the code words."""
    from bitarray import bitarray
    from bitarray.util import int2ba

    if len(symbols) == 0:
        return number(0)
    size = lengths(np.bincount(symbols, minlength=alphabet))
    if size.max() >= 2**LENGTH_BITS:
        raise ValueError("a code word is too long")
    table = bitarray()
    for one in size.tolist():
        table += int2ba(one, length=LENGTH_BITS)
    coded = encode(symbols, size)
    return number(len(symbols)) + number(len(size)) + table.tobytes() + number(len(coded)) + coded


def _symbols(cursor: Cursor, alphabet: int) -> Array:
    from bitarray import bitarray
    from bitarray.util import ba2int

    count = cursor.number()
    if count == 0:
        return np.zeros(0, np.int64)
    symbols = cursor.number()
    if not 1 <= symbols <= alphabet:
        raise ValueError(f"an alphabet of {symbols} symbols")
    table = bitarray()
    table.frombytes(cursor.take(-(-symbols * LENGTH_BITS // 8)))
    cuts = range(0, symbols * LENGTH_BITS, LENGTH_BITS)
    size = np.array([ba2int(table[at : at + LENGTH_BITS]) for at in cuts])
    return decode(cursor.take(cursor.number()), size, count)
