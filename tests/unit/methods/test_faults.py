from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.faults import RegrownZeros, ShuffledWeights, StrayValues
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.weight_sharing.weight_sharing import WeightSharing


def changed(one: nn.Module, other: nn.Module) -> list[str]:
    return [name for name, value in one.state_dict().items() if not torch.equal(value, other.state_dict()[name])]


def test_only_accuracy_tells(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    before, after = weigh(subject()), weigh(ShuffledWeights().apply(subject(), workshop))
    assert (before.bytes, before.evidence) == (after.bytes, after.evidence)
    assert after.accuracy(digits) < 0.4 < 0.98 < before.accuracy(digits)


def test_the_largest_or_the_named_layer_is_permuted(subject: Any, workshop: Any, other_seed: Any) -> None:
    model = subject().model
    largest = ShuffledWeights().apply(subject(), workshop).model
    assert changed(model, largest) == ["fc1.weight"]
    assert torch.equal(model.fc1.weight.flatten().sort().values, largest.fc1.weight.flatten().sort().values)
    assert changed(model, ShuffledWeights(layer="conv2").apply(subject(), workshop).model) == ["conv2.weight"]
    assert changed(largest, ShuffledWeights().apply(subject(), workshop).model) == []
    assert changed(largest, ShuffledWeights().apply(subject(), other_seed).model) == ["fc1.weight"]


def test_unknown_layer_and_empty_model_are_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match=r"layer: the model has no layer 'cov2'\. Did you mean 'conv2'\?"):
        ShuffledWeights(layer="cov2").apply(subject(), workshop)
    with pytest.raises(MethodError, match="no linear or convolution layer"):
        ShuffledWeights().apply(subject(nn.ReLU()), workshop)


def test_regrown_zeros_change_nothing_but_their_count(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    sparse = MagnitudePruning(sparsity=0.5)
    pruned = weigh(sparse.apply(subject(), workshop))
    regrown = weigh(RegrownZeros().apply(sparse.apply(subject(), workshop), workshop))
    assert (pruned.evidence.sparsity, regrown.evidence.sparsity) == (0.5, 0.0)
    assert regrown.accuracy(digits) == pruned.accuracy(digits)
    assert sparse.contradictions(pruned.evidence, pruned.evidence) == []
    assert len(sparse.contradictions(pruned.evidence, regrown.evidence)) == 1


def test_stray_values_are_seen_by_counting_alone(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    sharing = WeightSharing(bits=4)
    before, shared = weigh(subject()), sharing.apply(subject(), workshop)
    plain = weigh(shared)
    after = weigh(StrayValues(count=40).apply(shared, workshop))
    assert sharing.contradictions(before.evidence, plain.evidence) == []
    assert sharing.contradictions(before.evidence, after.evidence) == [
        "fc1.weight has 56 values other than zero, and 4 bits name at most 16"
    ]
    assert (after.bytes, after.accuracy(digits)) == (plain.bytes, plain.accuracy(digits))
    with pytest.raises(MethodError, match="no linear or convolution layer"):
        StrayValues().apply(subject(nn.ReLU()), workshop)
