import torch
from torch import nn

from harness.methods.pruning.zeros import kept_zero


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
