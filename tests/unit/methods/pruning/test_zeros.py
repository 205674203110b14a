import copy

import torch
from torch import nn

from harness.data.base import Dataset
from harness.methods.base import Workshop
from harness.methods.pruning.zeros import finetune, kept_zero
from harness.training import Training, train


def test_zeros_return_after_any_number_of_steps_and_nothing_else_does() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 8, generator=generator)
    layer = nn.Linear(8, 8)
    with torch.no_grad():
        layer.weight.copy_(weight.masked_fill(weight.abs() < 0.5, 0))
        layer.bias.zero_()
    gone = layer.weight == 0
    reset = kept_zero(layer)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(16, 8, generator=generator)).square().sum().backward()
        optimizer.step()
        assert bool((layer.weight[gone] != 0).any())  # momentum and decay alone would wake them
        reset(layer)
        assert bool((layer.weight[gone] == 0).all())
    assert bool((layer.weight[~gone] != 0).all())
    assert bool((layer.bias != 0).all())


def test_a_short_fine_tuning_of_a_slow_batch_normalization_ends_with_statistics_of_the_pruned_model(
    digits: Dataset, workshop: Workshop
) -> None:
    """With MobileNetV3's momentum of 0.01, 16 steps leave 85 % of the statistics from before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=4), nn.BatchNorm2d(8, momentum=0.01), nn.ReLU(), nn.Conv2d(8, 16, 3),
            nn.BatchNorm2d(16, momentum=0.01), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10),
        ).eval()  # fmt: skip
        nn.init.normal_(net[0].weight, std=2.0)
    assert digits.train is not None
    training = Training(epochs=1, batch=64, learning_rate=0.05)
    stale = copy.deepcopy(net)
    train(stale, digits.train, workshop.task, training, seed=0, progress=lambda _: None, after_step=kept_zero(stale))
    finetune(net, training, workshop)
    # The same weights, and other statistics: those of what the first layer gives now.
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), stale.parameters(), strict=True))
    with torch.inference_mode():
        means = [net[0](*one.inputs).mean((0, 2, 3)) for one in digits.train.batches(64, shuffle=0)]
    expected = torch.stack(means).mean(0)
    assert torch.allclose(net[1].running_mean, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(stale[1].running_mean, expected, rtol=0.5)
