from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.data.base import Batch, Dataset, TensorSplit
from harness.data.digits import Digits
from harness.data.text import TextSplit
from harness.errors import DataError, Unmeasurable
from harness.run.cache import key_of
from harness.run.samples import (
    SAMPLES,
    TARGETS,
    address,
    dataset,
    distinct,
    identities,
    require_named,
    require_paired,
    require_whole,
)

torch = pytest.importorskip("torch")

N = 6


def split(names: list[str] | None = None, units: np.ndarray | None = None) -> TensorSplit:
    return TensorSplit(torch.arange(N * 4.0).reshape(N, 4), torch.arange(N) % 3, units, names)


def answers(order: list[int] | None = None) -> dict[str, np.ndarray]:
    whole = split()
    chosen = torch.tensor(order if order is not None else range(N))
    return identities(Batch((whole.inputs[chosen],), whole.targets[chosen]))


def test_equal_inputs_are_one_sample_whatever_batch_they_come_in() -> None:
    both = torch.ones(2, 3), torch.tensor([[1.0], [2.0]])
    first, second = identities(Batch(both, torch.zeros(2)))[SAMPLES]
    assert first != second  # told apart by the second argument alone
    alone = identities(Batch(tuple(part[1:] for part in both), torch.zeros(1)))[SAMPLES]
    assert alone == [second]


def test_both_models_must_be_given_the_same_samples_in_the_same_order() -> None:
    require_paired(answers(), answers(), split())
    with pytest.raises(Unmeasurable, match=r"2 of 6 differ, the first is 'three'.*The data changed between them"):
        require_paired(
            answers(), answers([0, 1, 2, 5, 4, 3]), split(names=["zero", "one", "two", "three", "four", "five"])
        )


def test_both_models_must_be_held_to_the_same_targets() -> None:
    other = {**answers(), TARGETS: np.zeros(N, dtype=np.int64)}
    with pytest.raises(Unmeasurable, match="held to different targets"):
        require_paired(answers(), other, split())


@pytest.mark.parametrize("left", [N - 1, N + 1])
def test_answers_that_are_not_one_a_sample_are_refused(left: int) -> None:
    require_whole({"ranked": np.zeros((N, 5))}, split(), "float")
    with pytest.raises(Unmeasurable, match=rf"the float model left {left} rows of 'ranked' for 6 samples"):
        require_whole({"ranked": np.zeros((left, 5))}, split(), "float")


def test_a_split_must_tell_its_samples_apart() -> None:
    require_named(split())
    with pytest.raises(DataError, match="two evaluation samples are called 'a'"):
        require_named(split(names=["a", "b", "c", "d", "a", "e"]))
    with pytest.raises(DataError, match="has 6 samples and names for 2"):
        require_named(split(names=["a", "b"]))
    with pytest.raises(DataError, match="has 6 samples and units for 5"):
        require_named(split(units=np.arange(5)))


def test_copies_of_a_sample_count_as_one_unit() -> None:
    units, samples = np.arange(5), np.array([7, 8, 7, 9, 7])
    merged = distinct(units, samples)
    assert np.unique(merged).size == 3
    assert merged[0] == merged[2] == merged[4]
    assert len({merged[0], merged[1], merged[3]}) == 3
    # Two photos that share a crop are one unit, with all their crops.
    photos = distinct(np.array([0, 0, 1, 1, 2]), np.array([1, 2, 2, 3, 4]))
    assert np.unique(photos).size == 2
    assert len(set(photos[:4])) == 1
    # Without copies the units are those of the split.
    assert distinct(units, np.array([3, 1, 4, 5, 9])) is units


def letters(texts: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """A tokenizer of bytes, padded with zeros that the mask hides."""
    longest = max(len(text) for text in texts)
    tokens = torch.tensor([[*text.encode(), *[0] * (longest - len(text))] for text in texts])
    return tokens, (tokens > 0).long()


def test_a_text_is_one_sample_however_long_the_texts_beside_it_are() -> None:
    texts = TextSplit(["ab", "abcdef", "x", "ab"], torch.arange(4)).encoded(letters)
    batches = list(texts.batches(2))
    assert [batch.inputs[0].shape[1] for batch in batches] == [6, 2]
    samples = np.concatenate([identities(batch)[SAMPLES] for batch in batches])
    assert samples[0] == samples[3]
    merged = distinct(texts.units, samples)
    assert merged[0] == merged[3]
    assert np.unique(merged).size == 3


def test_a_sample_that_nothing_fills_up_is_told_by_all_that_the_model_is_fed() -> None:
    texts = TextSplit(["ab", "abcdef"], torch.arange(2)).encoded(letters)
    (batch,) = texts.batches(2)
    fed = np.array([[*b"abcdef"], [1] * 6], dtype=np.int64).tobytes()
    digest = hashlib.blake2b(fed, digest_size=8).digest()
    assert identities(batch)[SAMPLES][1] == int.from_bytes(digest, "little")
    # A text that ends in what others are filled up with is not one that ends before.
    ended = Batch((torch.tensor([[7, 0], [7, 0]]),), torch.zeros(2), torch.tensor([[False, False], [False, True]]))
    first, second = identities(ended)[SAMPLES]
    assert first != second


def test_what_was_done_to_the_splits_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Dataset(split(), split(), notes=("mine: 2 of 9 rows are left out",))
    spec = SimpleNamespace(data=SimpleNamespace(load=lambda root: made, texts=False))
    assert dataset(spec, tmp_path) is made
    assert caplog.messages == ["mine: 2 of 9 rows are left out"]


def test_the_address_is_of_what_is_evaluated_and_not_of_what_is_calibrated_on(tmp_path: Path) -> None:
    usual, fewer, larger = (
        address(SimpleNamespace(data=Digits(**options)), tmp_path)
        for options in ({}, {"calibration": 9}, {"image_size": 24})
    )
    assert usual == fewer != larger
    # Baselines of data with the usual calibration hold it since all options counted.
    assert usual == key_of(Digits().model_dump(mode="json"), Digits().fingerprint(tmp_path))
