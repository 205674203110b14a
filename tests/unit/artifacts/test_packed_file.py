from __future__ import annotations

import contextlib
import json
import math
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.artifacts import packed_file
from harness.artifacts.context_model import Plan
from harness.artifacts.packed_bytes import DTYPES, Cursor, Tensor, number, room, tensor_of, words_of
from harness.errors import ArtifactError

CODINGS = (None, "huffman", "range")


def sparse(rows: int, columns: int, share: float, values: int, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    book = generator.normal(size=values).astype(np.float32)
    dense = book[generator.integers(0, values, (rows, columns))]
    return words_of(torch.from_numpy(np.where(generator.random((rows, columns)) < share, dense, 0).astype(np.float32)))


def payload(tensor: Tensor, coding: str) -> int:
    return packed_file.sizes(packed_file.pack({}, {"w": tensor}, coding))["w"][1]  # type: ignore[arg-type]


def head(*names: str) -> bytes:
    return packed_file.pack({}, dict.fromkeys(names, words_of(torch.zeros(0))), None)[: -9 * len(names)]


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 7), max_size=4).map(tuple),
    coding=st.sampled_from(CODINGS),
    values=st.integers(1, 300),
    share=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_every_bit_comes_back(
    dtype: str, shape: tuple[int, ...], coding: packed_file.Coding | None, values: int, share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    width = {"float32": 4, "float64": 8, "int64": 8, "int32": 4}.get(
        dtype, 1 if dtype in ("int8", "uint8", "bool") else 2
    )
    # Bits of any kind: NaN with payloads, infinities and negative zeros among them.
    book = generator.integers(0, 256, (values, width), dtype=np.uint8).view(f"<u{width}").ravel()
    words = np.where(
        generator.random(math.prod(shape)) < share, book[generator.integers(0, values, math.prod(shape))], 0
    )
    tensor = Tensor(dtype, shape, words.astype(f"<u{width}"))
    graph, found = packed_file.unpack(packed_file.pack({"any": [1, None]}, {"a": tensor, "b": tensor}, coding))
    assert graph == {"any": [1, None]}
    for one in found.values():
        assert (one.dtype, one.shape) == (dtype, shape)
        assert np.array_equal(one.words, tensor.words)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torchs_tensors_come_back(dtype: str) -> None:
    tensor = torch.tensor([[0, 1, 2], [3, 0, 1]]).to(getattr(torch, dtype))
    back = tensor_of(words_of(tensor))
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor)


@pytest.fixture(scope="module", params=["huffman", "range"])
def content(request: pytest.FixtureRequest) -> bytes:
    tensors = {"fc.weight": sparse(12, 20, 0.2, 5), "fc.bias": words_of(torch.randn(3))}
    return packed_file.pack({"nodes": []}, tensors, request.param)


def test_every_damaged_byte_is_found(content: bytes) -> None:
    for place in range(len(content)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= change
            with pytest.raises(ArtifactError, match="packed file"):
                packed_file.unpack(bytes(damaged))


def test_every_truncation_and_every_addition_is_found(content: bytes) -> None:
    for end in range(len(content)):
        with pytest.raises(ArtifactError, match=r"packed file is (truncated|damaged)"):
            packed_file.unpack(content[:end])
    with pytest.raises(ArtifactError, match="goes on for 1 bytes after its last tensor"):
        packed_file.unpack(content + b"\0")


def test_a_sentence_names_the_tensor_and_the_check(content: bytes) -> None:
    damaged = bytearray(content)
    damaged[-10] ^= 1
    with pytest.raises(ArtifactError, match=r"checksum of the tensor 'fc.bias' \(2 of 2\) does not match"):
        packed_file.unpack(bytes(damaged))
    with pytest.raises(
        ArtifactError, match=r"in the tensor 'fc.bias' \(2 of 2\), 4 bytes are to follow, and 3 are left"
    ):
        packed_file.unpack(content[:-1])
    with pytest.raises(ArtifactError, match=r"in the head, it starts with b'PK\\x03\\x04', and a packed file with"):
        packed_file.unpack(b"PK\x03\x04" + content[4:])
    with pytest.raises(ArtifactError, match="its version is 9, and this program reads version 1"):
        packed_file.unpack(content[:4] + b"\x09" + content[5:])


@settings(max_examples=40, deadline=None)
@given(coding=st.sampled_from(["huffman", "range"]), place=st.integers(0, 300), byte=st.integers(0, 255))
def test_nonsense_under_a_good_checksum_is_refused_or_decodes(
    coding: packed_file.Coding, place: int, byte: int
) -> None:
    # Whoever makes a file can make its checksums too: what decodes then may be wrong, and nothing worse.
    section = bytearray(packed_file._section(sparse(12, 20, 0.2, 5), coding))
    section[place % len(section)] = byte
    content = head("w") + packed_file._sealed(bytes(section))
    with contextlib.suppress(ArtifactError):
        _, found = packed_file.unpack(content)
        assert found["w"].words.size == math.prod(found["w"].shape)


def test_the_papers_formula_gives_the_size_of_the_file() -> None:
    # Deep Compression, equation 1: r = n b / (n log2 k + k b), for n weights of b bits that share k values.
    n, k, b = 256 * 256, 16, 32
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(k), n // k))
    values = np.linspace(0.1, 0.9, k).astype(np.float32)[order].reshape(256, 256)
    bits = n * math.log2(k) + k * b
    for coding, overhead in (("huffman", 48), ("range", 256)):
        found = payload(words_of(torch.from_numpy(values)), coding)
        assert bits / 8 < found < bits / 8 + overhead
        assert n * b / 8 / found == pytest.approx(n * b / bits, rel=0.01)  # 7.99 times smaller


def test_what_the_range_coder_takes_is_near_the_entropy() -> None:
    rows, columns, share, k = 200, 300, 0.1, 8
    tensor = sparse(rows, columns, share, k)
    n, q = rows * columns, float((tensor.words != 0).mean())
    used, counts = np.unique(tensor.words[tensor.words != 0], return_counts=True)
    entropy = n * -(q * math.log2(q) + (1 - q) * math.log2(1 - q))
    entropy -= float((counts * np.log2(counts / counts.sum())).sum())
    assert len(used) == k
    ideal = entropy / 8 + k * 4
    assert ideal < payload(tensor, "range") < 1.02 * ideal
    # Whole bits a gap and an index cost more.
    assert payload(tensor, "range") < payload(tensor, "huffman") < 1.06 * ideal


def test_neighbours_that_are_alike_make_a_tensor_shorter() -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(size=(40, 28, 28))
    for axis in (1, 2):  # a blur makes neighbouring pixels alike
        image = image + np.roll(image, 1, axis) + np.roll(image, 2, axis)
    cut = np.quantile(np.abs(image), 0.9)
    clustered = np.where(np.abs(image) > cut, np.sign(image), 0).astype(np.float32).reshape(40, 784)
    shuffled = generator.permuted(clustered.ravel()).reshape(40, 784)
    ours, theirs = (payload(words_of(torch.from_numpy(one)), "range") for one in (clustered, shuffled))
    assert ours < 0.8 * theirs


def test_codebooks_of_groups_of_rows_are_found() -> None:
    generator = np.random.default_rng(0)
    books = generator.normal(size=(8, 16)).astype(np.float32)
    rows = np.stack([books[row // 8][generator.integers(0, 16, 200)] for row in range(64)])
    found = payload(words_of(torch.from_numpy(rows)), "huffman")
    # Four bits a weight and 128 values; one codebook of 128 values would take seven bits a weight.
    assert 64 * 200 / 2 + 512 < found < 64 * 200 / 2 + 512 + 300


def test_values_that_float16_holds_take_half_and_come_back() -> None:
    tensor = words_of(torch.randn(40, 50).half().float())
    content = packed_file.pack({}, {"w": tensor}, "range")
    assert packed_file.sizes(content)["w"] == ("float16", 2 * 2000 + 11)
    assert np.array_equal(packed_file.unpack(content)[1]["w"].words, tensor.words)
    # Without an entropy coder every tensor is written as it is.
    assert packed_file.sizes(packed_file.pack({}, {"w": tensor}, None))["w"] == ("raw", 4 * 2000 + 11)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_numbers_come_back(value: int) -> None:
    assert Cursor(number(value)).number() == value
    assert len(number(value)) == max(1, -(-value.bit_length() // 7))


def coded(shape: tuple[int, ...], count: int, coding: int = 3, book: tuple[float, ...] = (1.0,)) -> bytes:
    """A section that says that a range code without a mask, of no words, holds so many elements of one codebook."""
    rows = shape[0] if len(shape) > 1 else count // math.gcd(count, 16)
    values = np.array(book, "<f4").tobytes()
    held = number(rows) + bytes([0]) + number(len(book)) + values + bytes([0]) + number(0) + number(count)
    axes = number(len(shape)) + b"".join(number(axis) for axis in shape)
    return packed_file._sealed(bytes([0, coding]) + axes + number(len(held)) + held)


def test_a_header_cannot_ask_for_all_memory() -> None:
    section = bytes([0, 3]) + number(2) + number(2**40) + number(2**40) + number(0)
    with pytest.raises(
        ArtifactError, match=r"in the tensor 'w' \(1 of 1\), .* elements are more than the format allows"
    ):
        packed_file.unpack(head("w") + packed_file._sealed(section))
    section = bytes([0, 3]) + number(2**20) + number(1) * 2**20 + number(0)
    with pytest.raises(ArtifactError, match="1048576 axes are more than the 64 that the format allows"):
        packed_file.unpack(head("w") + packed_file._sealed(section))


def test_a_short_file_has_little_room_and_all_its_tensors_share_it() -> None:
    small = head("w") + coded((2**11, 2**11), 2**22)
    assert len(small) < 100
    assert (packed_file.unpack(small)[1]["w"].words.view("<f4") == 1).all()
    # 64 million elements are 268 MB.
    large = head("w") + coded((2**13, 2**13), 2**26)
    assert len(large) < 100
    # Each of two would have room by itself.
    both = head("a", "w") + coded((2**11, 2**11), 2**22) * 2
    # numpy tells what it allocates.
    tracemalloc.start()
    for content in (large, both):
        with pytest.raises(
            ArtifactError, match=r"'w' .* more elements than the 4,194,304 that a file of \d+ bytes may"
        ):
            packed_file.unpack(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28


def test_a_long_file_has_room_by_its_length_and_none_more_than_the_format_allows() -> None:
    assert room(0) == room(4096) == 2**22
    assert room(10**6) == 1_024_000_000
    assert room(2**40) == 2**31


def test_a_graph_cannot_be_larger_than_any_models_is() -> None:
    text = json.dumps({"tensors": [], "graph": "a" * 2**22}).encode()
    squeeze = zlib.compressobj(9, wbits=-15)
    squeezed = squeeze.compress(text) + squeeze.flush()
    assert len(squeezed) < 10_000
    content = packed_file._sealed(packed_file.MAGIC + bytes([1]) + number(len(squeezed)) + squeezed)
    with pytest.raises(ArtifactError, match="the graph does not end where it should"):
        packed_file.unpack(content)


def test_the_odds_of_a_long_line_take_little_memory_and_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = sparse(3, 40_000, 1.0, 200)
    plan = Plan(flipped=False, stride=0, places=False)
    monkeypatch.setattr("harness.artifacts.range_coding.best_plan", lambda palette: plan)
    tracemalloc.start()
    content = packed_file.pack({}, {"w": tensor}, "range")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 40,000 places of 200 odds in float64 are 64 MB, and there are several such arrays.
    assert peak < 150 * 2**20
    monkeypatch.setattr("harness.artifacts.context_model.AT_ONCE", 2**20)
    assert packed_file.pack({}, {"w": tensor}, "range") == content
    assert np.array_equal(packed_file.unpack(content)[1]["w"].words, tensor.words)
