from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.artifacts import huffman

# T. Cormen et al., "Introduction to Algorithms", section 15.3: six characters, in thousands of occurrences.
TEXTBOOK = np.array([45, 13, 12, 16, 9, 5])
counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=256).filter(lambda one: sum(map(bool, one)) > 1)


def test_the_textbook_code_takes_the_textbooks_bits() -> None:
    size = huffman.lengths(TEXTBOOK)
    assert size.tolist() == [1, 3, 3, 3, 4, 4]
    assert int((size * TEXTBOOK).sum()) == 224  # 224,000 bits


@settings(deadline=None)
@given(counts)
def test_the_mean_length_lies_between_the_entropy_and_one_bit_more(found: list[int]) -> None:
    share = np.array(found) / sum(found)
    entropy = -float((share[share > 0] * np.log2(share[share > 0])).sum())
    mean = float((huffman.lengths(np.array(found)) * share).sum())
    assert entropy - 1e-9 <= mean < entropy + 1


@settings(deadline=None)
@given(counts)
def test_the_lengths_fill_the_tree(found: list[int]) -> None:
    size = huffman.lengths(np.array(found))
    assert (0.5 ** size[size > 0]).sum() == 1  # Kraft's inequality is an equality
    assert ((size > 0) == (np.array(found) > 0)).all()


def test_canonical_codes_are_those_of_deflate() -> None:
    # RFC 1951, section 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4 give 010 to 110, 00, 1110 and 1111.
    size = np.array([3, 3, 3, 3, 3, 2, 4, 4])
    codes = ["010", "011", "100", "101", "110", "00", "1110", "1111"]
    for symbol, code in enumerate(codes):
        assert huffman.encode(np.array([symbol]), size) == bytes([int(code.ljust(8, "0"), 2)])


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400))
def test_what_was_encoded_is_decoded(symbols: list[int]) -> None:
    size = huffman.lengths(np.bincount(symbols))
    coded = huffman.encode(np.array(symbols), size)
    assert len(coded) == -(-int(size[symbols].sum()) // 8)
    assert huffman.decode(coded, size, len(symbols)).tolist() == symbols


def test_lengths_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        huffman.decode(b"\0", np.array([1, 1, 1]), 3)


def test_too_few_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="20 symbols are to follow, and 8 do"):
        huffman.decode(b"\0", np.array([1, 1]), 20)


def test_gaps_are_those_of_the_papers_figure() -> None:
    # Deep Compression, figure 2: weights at places 1, 4 and 15, gaps of three bits, which reach eight places.
    # A filler stands where a gap is longer; here it skips seven places and stores no zero.
    assert huffman.relative(np.array([1, 4, 15]), 3).tolist() == [1, 2, 7, 3]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), unique=True, max_size=60).map(sorted), st.sampled_from(huffman.SPANS))
def test_gaps_lead_back_to_the_places(places: list[int], span: int) -> None:
    gaps = huffman.relative(np.array(places, int), span)
    assert (gaps < 2**span).all()
    assert huffman._places(gaps, span, 3001).tolist() == places
