from typing import Any

import pytest
import torch
from torch import nn

from harness.methods.pruning.channel import ChannelPruning


def weak_and_strong() -> nn.Sequential:
    """Sixteen channels, of which every other one has no say in the answer though its weights are the larger."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10)
        )
    with torch.no_grad():
        model[0].weight[::2] *= 3
        read = model[4].weight.view(10, 16, 16)
        read[:, 1::2] *= 3
        read[:, ::2] = 1e-6
        model[0].weight[::2] *= 100
    return model.eval()


@pytest.mark.parametrize(("importance", "kept"), [("taylor", "strong"), ("hessian", "strong"), ("l2", "weak")])
def test_effects_on_the_loss_tell_what_norms_do_not(importance: Any, kept: str, subject: Any, workshop: Any) -> None:
    model = weak_and_strong()
    weights = model[0].weight.detach().clone()
    expected = weights[1::2] if kept == "strong" else weights[::2]
    method = ChannelPruning(ratio=0.5, importance=importance, samples=128)
    pruned = method.apply(subject(model), workshop).model
    assert torch.equal(pruned[0].weight, expected)
    assert all(one.grad is None for one in pruned.parameters())
