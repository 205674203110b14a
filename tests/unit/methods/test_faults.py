from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.faults import RegrownZeros, ShuffledWeights
from harness.methods.pruning.magnitude import MagnitudePruning


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
