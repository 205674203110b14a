from typing import Any

import pytest
import torch
from torch import nn

from harness.methods.pruning.channel import ChannelPruning
from harness.methods.pruning.curvature import samples
from harness.methods.pruning.structural import importance


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


def groups_of(model: nn.Module, example: torch.Tensor) -> list[Any]:
    """What goes together with each layer's outputs, for all of them."""
    import torch_pruning

    graph = torch_pruning.DependencyGraph().build_dependency(model, example)
    return [
        graph.get_pruning_group(part, torch_pruning.prune_conv_out_channels, list(range(part.out_channels)))
        for part in model.modules()
        if isinstance(part, nn.Conv2d)
    ]


def narrow_and_wide() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        ).eval()  # fmt: skip


def test_first_order_effects_are_squared_in_each_batch_and_summed_over_all_that_goes(
    subject: Any, workshop: Any
) -> None:
    """Molchanov 2019, eq. 8: slopes of single batches point this way and that, and would cancel if they were added."""
    model = narrow_and_wide()
    example = subject(model).example[0]
    layers = [model[0], model[2], model[6]]
    weights = [layer.weight for layer in layers]
    effects, signed, batches = [0.0] * 3, [0.0] * 3, 0
    for batch in samples(workshop, 256):
        batches += 1
        slopes = torch.autograd.grad(workshop.task.loss(model, batch), weights)
        effects = [old + (slope * one.detach()) ** 2 for old, slope, one in zip(effects, slopes, weights, strict=True)]
        signed = [old + slope * one.detach() for old, slope, one in zip(signed, slopes, weights, strict=True)]
    assert batches == 4
    read = effects[2].view(10, 32, 4)
    expected = [
        (effects[0].sum((1, 2, 3)) + effects[1].sum((0, 2, 3))) / batches,
        (effects[1].sum((1, 2, 3)) + read.sum((0, 2))) / batches,
    ]
    worth = importance("taylor", model, workshop, 256)
    found = [worth(group) for group in groups_of(model, example)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-12)
    # In another order, by what the batches' slopes leave of each other.
    assert found[1].argsort().tolist() != signed[1].abs().sum((1, 2, 3)).argsort().tolist()


@pytest.mark.parametrize("criterion", ["taylor", "hessian"])
def test_over_all_layers_together_the_least_effects_go_wherever_they_are(
    criterion: Any, subject: Any, workshop: Any
) -> None:
    """Two layers of eight, of which one is hardly heard: it loses the channels, and the other none."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loud, self.quiet = nn.Conv2d(1, 8, 3), nn.Conv2d(1, 8, 3)
            self.from_loud, self.from_quiet = nn.Linear(8, 10), nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            loud, quiet = (one(x).relu().mean((2, 3)) for one in (self.loud, self.quiet))
            out: torch.Tensor = self.from_loud(loud) + self.from_quiet(quiet)
            return out

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Branches().eval()
        model.from_quiet.weight *= 0.01
    method = ChannelPruning(
        ratio=0.25, importance=criterion, samples=128, scope="global", keep=("from_loud", "from_quiet")
    )
    pruned = method.apply(subject(model), workshop).model
    assert (pruned.loud.out_channels, pruned.quiet.out_channels) == (8, 4)
