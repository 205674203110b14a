from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.layer_dropping import LayerDropping, influences


class Adding(nn.Module):
    """x + strength * W x, with W orthogonal to x on average."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4, bias=False)
        turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        with torch.no_grad():
            self.inner.weight.copy_(strength * torch.block_diag(turn, turn))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)  # type: ignore[no-any-return]


def stack(*strengths: float) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        return nn.Sequential(*(Adding(one) for one in strengths), nn.Linear(4, 2))


def test_influence_is_one_minus_the_cosine() -> None:
    """Added at a right angle: cos = 1 / sqrt(1 + strength^2)."""
    inputs = (torch.randn(50, 4, generator=torch.Generator().manual_seed(0)),)
    found = influences(stack(0.5, 3.0), [inputs, inputs])
    assert found == pytest.approx({"0": 1 - 1 / 1.25**0.5, "1": 1 - 1 / 10**0.5}, rel=1e-5)


def test_the_blocks_of_least_influence_go(subject: Any, workshop: Any) -> None:
    from dataclasses import replace

    from harness.data.base import Dataset, TensorSplit

    inputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset(calibration=TensorSplit(inputs, torch.zeros(50, dtype=torch.int64)), evaluation=None)
    model = stack(0.5, 0.1, 3.0, 0.2)
    pruned = LayerDropping(count=2).apply(subject(model, inputs[:1]), replace(workshop, data=data)).model
    assert [isinstance(part, nn.Identity) for part in pruned] == [False, True, False, True, False]
    with pytest.raises(MethodError, match="no block is left"):
        LayerDropping(count=5).apply(subject(stack(0.5, 0.1), inputs[:1]), replace(workshop, data=data))


def test_resnet_loses_whole_blocks(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = LayerDropping(count=2, keep=("stages.0.0",))
    dense = subject("resnet20-digits")
    before, after = weigh(dense), weigh(method.apply(subject("resnet20-digits"), workshop))
    # Each block has two 3x3 convolutions; those that change shape cannot go.
    assert len(after.evidence.matrices) == len(before.evidence.matrices) - 4
    assert after.runner.macs(subject("resnet20-digits").example) < before.runner.macs(
        subject("resnet20-digits").example
    )
    assert after.accuracy(digits) > 0.3
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(method.contradictions(before.evidence, before.evidence)) == 1


def test_named_blocks_go_and_others_are_refused(subject: Any, workshop: Any) -> None:
    pruned = LayerDropping(blocks=("stages.1.2",)).apply(subject("resnet20-digits"), workshop).model
    assert isinstance(pruned.stages[1][2], nn.Identity)
    with pytest.raises(MethodError, match=r"'stages.1.0' is no block that can be removed; these can: stages.0.0"):
        LayerDropping(blocks=("stages.1.0",)).apply(subject("resnet20-digits"), workshop)
    for options in ({}, {"count": 1, "blocks": ["stages.1.1"]}):
        with pytest.raises(ValidationError, match="give either `count` or `blocks`"):
            LayerDropping.model_validate(options)


def test_of_sequences_the_influence_is_a_mean_over_positions() -> None:
    """ShortGPT, eq. 1. One position a hundred times as long as the others does not speak for them."""
    inputs = torch.randn(20, 5, 4, generator=torch.Generator().manual_seed(0))

    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # Turned round everywhere but in the first, long position.
            return torch.cat([x[:, :1], -x[:, 1:]], dim=1)

    inputs[:, 0] *= 100
    assert influences(nn.Sequential(Biased()), [(inputs,)]) == pytest.approx({"0": 2 * 4 / 5})


def test_a_kept_block_that_there_is_not_is_told(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'stages\.0\.9'"):
        LayerDropping(count=1, keep=("stages.0.9",)).apply(subject("resnet20-digits"), workshop)


def test_a_block_that_adds_in_place_has_the_same_influence() -> None:
    class InPlace(Adding):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x += self.inner(x)
            return x

    inputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(InPlace(0.5), InPlace(3.0), nn.Linear(4, 2))
    assert influences(model, [(inputs,)]) == pytest.approx({"0": 1 - 1 / 1.25**0.5, "1": 1 - 1 / 10**0.5}, rel=1e-5)
