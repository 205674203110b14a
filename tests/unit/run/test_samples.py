from __future__ import annotations

import numpy as np
import pytest

from harness.data.base import Batch, TensorSplit
from harness.errors import DataError, Unmeasurable
from harness.run.samples import (
    SAMPLES,
    TARGETS,
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
