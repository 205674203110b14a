import numpy as np
import pytest
import torch

from harness.data.base import Dataset, TensorSplit
from harness.errors import DataError


def split(first: int, count: int) -> TensorSplit:
    """Samples numbered from `first`; equal numbers are equal samples."""
    values = torch.arange(first, first + count)
    return TensorSplit(
        values.float().reshape(-1, 1, 1).expand(-1, 2, 2).contiguous(), values, names=[f"s{value}" for value in values]
    )


def test_splits_that_share_nothing_pass():
    dataset = Dataset(calibration=split(0, 4), evaluation=split(10, 5), train=split(0, 9))
    assert dataset.checked() is dataset


def test_an_overlap_with_training_is_found_by_content():
    dataset = Dataset(calibration=split(0, 4), evaluation=split(10, 5), train=split(5, 7))
    with pytest.raises(DataError, match="training sample s10 is also evaluation sample s10"):
        dataset.checked()


def test_an_overlap_with_calibration_is_found_under_another_name():
    evaluation = split(10, 5)
    calibration = TensorSplit(evaluation.inputs[3:4].clone(), torch.tensor([0]), names=["mine"])
    with pytest.raises(DataError, match="calibration sample mine is also evaluation sample s13"):
        Dataset(calibration=calibration, evaluation=evaluation).checked()


def test_samples_that_differ_in_one_bit_are_different():
    evaluation = split(10, 5)
    inputs = evaluation.inputs.clone()
    inputs[:, 0, 0] = torch.nextafter(inputs[:, 0, 0], torch.tensor(torch.inf))
    dataset = Dataset(calibration=TensorSplit(inputs, evaluation.targets), evaluation=evaluation)
    assert dataset.checked() is dataset
    assert not set(dataset.calibration.digests()) & set(evaluation.digests())


@pytest.mark.parametrize(
    ("calibration", "evaluation", "sentence"),
    [
        (split(0, 1), None, "evaluation split is empty"),
        (split(0, 1), split(0, 0), "evaluation split is empty"),
        (split(0, 0), split(0, 1), "calibration split is empty"),
    ],
)
def test_empty_splits_are_refused(calibration, evaluation, sentence):
    with pytest.raises(DataError, match=sentence):
        Dataset(calibration=calibration, evaluation=evaluation).checked()


def test_compression_is_given_no_evaluation_split():
    dataset = Dataset(calibration=split(0, 1), evaluation=split(5, 1), train=split(1, 2), classes=("a",))
    withheld = dataset.without_evaluation()
    assert withheld.evaluation is None
    assert (withheld.calibration, withheld.train, withheld.classes) == (dataset.calibration, dataset.train, ("a",))


def test_tensors_stream_in_order_or_in_the_order_of_a_seed():
    samples = split(0, 7)
    assert [batch.targets.tolist() for batch in samples.batches(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    before = torch.random.get_rng_state()
    orders = [[int(one) for batch in samples.batches(3, shuffle=seed) for one in batch.targets] for seed in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(7))
    for batch in samples.batches(3, shuffle=1):
        assert torch.equal(batch.inputs[0][:, 0, 0], batch.targets.float())


def test_units_and_names_have_plain_defaults():
    plain = TensorSplit(torch.zeros(3, 1), torch.zeros(3))
    assert plain.names == ["0", "1", "2"]
    assert np.array_equal(plain.units, [0, 1, 2])
    grouped = TensorSplit(torch.zeros(3, 1), torch.zeros(3), units=np.array([0, 0, 1]))
    assert np.array_equal(grouped.units, [0, 0, 1])


def test_the_order_is_that_of_the_samples_or_the_permutation_of_a_seed():
    samples = split(0, 7)
    assert samples.order(None).tolist() == list(range(7))
    assert samples.order(3).tolist() == torch.randperm(7, generator=torch.Generator().manual_seed(3)).tolist()
    assert samples.order(0).tolist() == torch.randperm(7, generator=torch.Generator().manual_seed(0)).tolist()
