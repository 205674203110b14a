from __future__ import annotations

import numpy as np
import pytest

from harness.artifacts.packed_bytes import Cursor, Tensor, number
from harness.artifacts.palette import palettes, read_books, shaped, write_books


def tensor(values: np.ndarray) -> Tensor:
    return Tensor("float32", values.shape, values.astype("<f4").view("<u4").ravel())


def test_zeros_apart_need_no_place_in_a_codebook() -> None:
    values = np.array([[0, 1.5, 0], [2.5, 0, 1.5]])
    apart, together = (palettes(tensor(values), apart=one) for one in (True, False))
    assert apart is not None
    assert together is not None
    assert apart.index.tolist() == [0, 1, 0]
    assert apart.books[0].view("<f4").tolist() == [1.5, 2.5]
    assert together.index.tolist() == [0, 1, 0, 2, 0, 1]
    for one in (apart, together):
        assert np.array_equal(one.words(np.zeros(6, "<u4")).view("<f4"), values.ravel().astype(np.float32))


def test_a_tensor_of_many_values_has_no_palette() -> None:
    assert palettes(tensor(np.arange(2000.0).reshape(2, 1000)), apart=True) is None


def test_groups_of_rows_with_values_of_their_own_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    rows = np.stack([generator.choice(4, 500) + 1 + 10.0 * (row // 16) for row in range(64)])
    found = palettes(tensor(rows), apart=True)
    assert found is not None
    assert (found.group, len(found.books), found.largest) == (16, 4, 4)
    assert np.array_equal(found.words(np.zeros(rows.size, "<u4")).view("<f4"), rows.ravel().astype(np.float32))


def test_an_index_past_its_codebook_is_refused() -> None:
    found = palettes(tensor(np.array([[1.0, 2.0]])), apart=True)
    assert found is not None
    found.index[0] = 2
    with pytest.raises(IndexError, match="past its codebook"):
        found.words(np.zeros(2, "<u4"))


def test_codebooks_come_back_and_faulty_ones_are_refused() -> None:
    found = palettes(tensor(np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0]])), apart=True)
    assert found is not None
    written = write_books(found, "float32")
    # Group, a flag for float16, the number of values, and the values: all of these fit float16.
    assert len(written) == 1 + 1 + 1 + 4 * 2
    group, books = read_books(Cursor(written), "float32", 2)
    assert (group, books[0].tolist()) == (2, found.books[0].tolist())
    for faulty, sentence in (
        (number(3) + written[1:], "groups of 3 rows, and there are 2"),
        (written[:1] + b"\x02" + written[2:], "a flag of 2"),
        (written[:2] + number(300) + written[3:], "a codebook of 300 values"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_books(Cursor(faulty), "float32", 2)


def test_vectors_are_walked_in_rows_that_come_out_even() -> None:
    assert [shaped((size,)) for size in (300, 64, 10, 7)] == [(75, 4), (4, 16), (5, 2), (7, 1)]
    assert shaped((20, 3, 5, 5)) == (20, 75)
    with pytest.raises(ValueError, match="empty"):
        shaped((0, 3))
