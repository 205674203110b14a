from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.forms import Form
from harness.methods.base import Workshop
from harness.methods.low_rank.qlora import Qlora
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.training import Training

SHORT = Training(epochs=4, optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)


@pytest.fixture
def few(workshop: Workshop) -> Workshop:
    assert workshop.data is not None
    assert isinstance(workshop.data.train, TensorSplit)
    some = TensorSplit(workshop.data.train.inputs[:256], workshop.data.train.targets[:256])
    return replace(workshop, data=Dataset(workshop.data.calibration, None, some))


def test_the_artifact_holds_four_bits_a_weight(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Qlora(rank=0, block=64)
    before, result = weigh(subject()), method.apply(subject(), few)
    after = weigh(result)
    assert result.form is Form.TORCH_INT8
    assert method.contradictions(before.evidence, after.evidence) == []
    codes = {one.name: one for one in after.evidence.tensors if one.name.endswith(".codes")}
    # 48,000 weights of fc1 in 750 blocks of 64.
    assert (codes["fc1.codes"].dtype, codes["fc1.codes"].shape) == ("uint8", (750, 32))
    weights = sum(one.elements for one in before.evidence.matrices)
    stored = {one.name: one for one in after.evidence.tensors}
    payload = sum(
        one.elements * (1 if one.dtype == "uint8" else 4) for one in stored.values() if ".layer." not in one.name
    )
    # 4 bits a weight, 8 bits a block of 64; codebooks, ranges and padding are small change.
    assert payload == pytest.approx(weights * (4 + 8 / 64) / 8, rel=0.02)
    assert after.bytes < 0.25 * before.bytes


def test_scales_in_float_cost_what_they_must(few: Workshop, subject: Any, weigh: Any) -> None:
    sizes = [weigh(Qlora(rank=0, double_quantization=on).apply(subject(), few)).bytes for on in (True, False)]
    # 61,470 weights in 963 blocks: three bytes less a block, two ranges of four bytes more a group and some code.
    assert 3 * 963 - 3_500 < sizes[1] - sizes[0] < 3 * 963


def test_corrections_win_back_what_rounding_cost(few: Workshop, subject: Any) -> None:
    inputs = next(few.data.calibration.batches(128)) if few.data else None
    assert inputs is not None

    def loss(model: Any) -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(*inputs.inputs), inputs.targets))

    rounded = Qlora(rank=0, block=256).apply(subject(), few).model
    corrected = Qlora(rank=4, block=256, train=SHORT).apply(subject(), few).model
    assert loss(corrected) < 0.7 * loss(rounded)
    for one, other in zip(
        rounded.parameters(), (p for p in corrected.parameters() if not p.requires_grad), strict=True
    ):
        assert torch.equal(one, other)


def test_layers_that_are_kept_stay_and_those_forgotten_are_told(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Qlora(rank=0, keep_float=("conv1", "fc3"))
    before, after = weigh(subject()), weigh(method.apply(subject(), few))
    assert method.contradictions(before.evidence, after.evidence) == []
    names = {one.name for one in after.evidence.tensors}
    assert {"conv1.weight", "fc3.weight", "conv2.codes"} <= names
    assert Qlora(rank=0).contradictions(before.evidence, after.evidence) == [
        "2 layers are not in 4-bit codes and were not to be kept: conv1.weight, fc3.weight"
    ]
    assert method.contradictions(before.evidence, before.evidence) == ["no layer stores its weights in 4-bit codes"]


def test_zeros_stay_zero(few: Workshop, subject: Any) -> None:
    pruned = MagnitudePruning(sparsity=0.7).apply(subject(), few)
    zeros = pruned.model.fc1.weight == 0
    coded = Qlora(rank=0).apply(pruned, few).model.fc1
    answers = coded(torch.eye(400)) - coded(torch.zeros(1, 400))
    assert torch.count_nonzero(answers.T[zeros]) == 0


def test_the_same_twice(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Qlora(train=Training(optimizer="adamw", learning_rate=1e-3))
    assert weigh(method.apply(subject(), few)).content == weigh(method.apply(subject(), few)).content


def test_what_it_lacks_is_said(few: Workshop, subject: Any) -> None:
    with pytest.raises(MethodError, match="needs data with a training split, or `train: null`"):
        Qlora().apply(subject(), replace(few, data=None))
    assert Qlora(train=None).apply(subject(), replace(few, data=None)).form is Form.TORCH_INT8
    with pytest.raises(MethodError, match="no linear or convolution layer is left to code"):
        Qlora(keep_float=("conv1", "conv2", "fc1", "fc2", "fc3")).apply(subject(), few)
