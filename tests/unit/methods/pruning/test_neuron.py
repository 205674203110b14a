from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.neuron import NeuronPruning
from harness.training import Training


def test_units_are_really_gone_and_convolutions_whole(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = NeuronPruning(ratio=0.5, finetune=Training(epochs=2))
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    shapes = {one.name.split(".")[-2]: one.shape for one in after.evidence.matrices}
    assert shapes == {
        "conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (60, 400), "fc2": (42, 60), "fc3": (10, 42),
    }  # fmt: skip
    assert after.bytes < 0.6 * before.bytes
    assert after.accuracy(digits) > 0.8
    assert method.contradictions(before.evidence, after.evidence) == []
    assert method.contradictions(before.evidence, before.evidence) == [
        "no unit is gone: 61,706 parameters, 61,706 before"
    ]


def test_units_that_are_seldom_positive_go(subject: Any, workshop: Any) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 6), nn.ReLU(), nn.Linear(6, 10))
        model[1].weight *= 0.01
        # Large weights, and a bias that holds three of them at zero on every image.
        model[1].bias.copy_(torch.tensor([9.0, -9.0, 9.0, -9.0, 9.0, -9.0]))
        model[1].weight[1::2] *= 50
    expected = model[1].weight.detach()[::2].clone()
    pruned = NeuronPruning(ratio=0.5, samples=256).apply(subject(model), workshop).model
    assert torch.equal(pruned[1].weight, expected)
    assert pruned[3].weight.shape == (10, 3)


@pytest.mark.parametrize("importance", ["l1", "l2", "random", "taylor", "hessian"])
def test_other_importances_leave_as_many(importance: Any, subject: Any, workshop: Any) -> None:
    method = NeuronPruning(ratio=0.25, importance=importance, samples=64, keep=("fc2",))
    model = method.apply(subject(), workshop).model
    assert [model.fc1.out_features, model.fc2.out_features, model.fc3.out_features] == [90, 84, 10]


def test_a_model_without_linear_layers_is_refused(subject: Any, workshop: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(MethodError, match="neuron-pruning: the model has no linear layer"):
        NeuronPruning(ratio=0.5).apply(subject(model), workshop)
