from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.lottery_ticket import LotteryTicket, reinitialise
from harness.training import Training
from harness.zoo.lenet import lenet5

TOTAL = 61_470
SHORT = Training(epochs=2, batch=50, optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)


def fresh() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        return lenet5(image_size=32, convolutions=(6, 16), hidden=(120, 84))


class Watched(nn.Module):
    """Notes the weights with which every training starts."""

    def __init__(self, inner: nn.Module, steps: int) -> None:
        super().__init__()
        self.inner, self.steps, self.calls = inner, steps, 0
        self.starts: list[torch.Tensor] = []

    def flat(self) -> torch.Tensor:
        return torch.cat([one.detach().flatten() for one in self.inner.parameters() if one.ndim > 1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            if self.calls % self.steps == 0:
                self.starts.append(self.flat())
            self.calls += 1
        return self.inner(x)  # type: ignore[no-any-return]


def watched(method: LotteryTicket, subject: Any, workshop: Any) -> Watched:
    model = Watched(fresh(), steps=40)  # 1,000 digits in batches of 50, twice
    method.apply(subject(model), workshop)
    return model


def test_every_round_starts_where_the_first_did(subject: Any, workshop: Any) -> None:
    model = watched(LotteryTicket(sparsity=0.9, rounds=2, train=SHORT), subject, workshop)
    first, second, third = model.starts
    initial = fresh()
    reinitialise(initial, workshop.seed)
    assert torch.equal(first, torch.cat([one.detach().flatten() for one in initial.parameters() if one.ndim > 1]))
    assert [int((one == 0).sum()) for one in model.starts] == [0, round((1 - 0.1**0.5) * TOTAL), round(0.9 * TOTAL)]
    for later in (second, third):
        assert torch.equal(later, torch.where(later == 0, 0, first))
    assert bool((third[second == 0] == 0).all())
    assert torch.equal(model.flat() == 0, third == 0)
    assert int((model.flat() != third).sum()) > 5000  # the ticket was trained


def test_rewinding_returns_to_an_early_step(subject: Any, workshop: Any) -> None:
    model = watched(LotteryTicket(sparsity=0.5, rounds=1, rewind=7, train=SHORT), subject, workshop)
    first, second = model.starts
    left = second != 0
    moved = (second - first)[left].abs()
    # Seven of Adam's steps in the warm-up: no weight has gone further than their sum, and most have gone somewhere.
    assert float(moved.mean()) > 0
    assert float(moved.max()) <= 7 * 2e-3 * 1.1


def test_a_step_that_the_training_does_not_take_is_no_place_to_return_to(subject: Any, workshop: Any) -> None:
    # 1,000 digits in batches of 64 are 16 steps; in batches of 37 they are 28, and the last has one digit.
    with pytest.raises(MethodError, match=r"`rewind: 17` is no step of the training, which takes 16"):
        LotteryTicket(sparsity=0.5, rewind=17, train=Training(batch=64)).apply(subject(), workshop)
    with pytest.raises(MethodError, match=r"`rewind: 28` is no step of the training, which takes 27"):
        LotteryTicket(sparsity=0.5, rewind=28, train=Training(batch=37)).apply(subject(), workshop)
    LotteryTicket(sparsity=0.5, rounds=1, rewind=16, train=Training(batch=64)).apply(subject(), workshop)


def test_the_control_has_the_same_mask_and_other_weights(subject: Any, workshop: Any) -> None:
    ticket = watched(LotteryTicket(sparsity=0.8, rounds=1, train=SHORT), subject, workshop).starts
    control = watched(LotteryTicket(sparsity=0.8, rounds=1, start="random", train=SHORT), subject, workshop).starts
    assert torch.equal(ticket[0], control[0])
    assert torch.equal(ticket[1] == 0, control[1] == 0)
    left = ticket[1] != 0
    assert float(torch.corrcoef(torch.stack([ticket[1][left], control[1][left]]))[0, 1].abs()) < 0.05
    assert int((ticket[1][left] == control[1][left]).sum()) == 0


def test_a_ticket_is_found_in_the_digits(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    training = Training(epochs=10, batch=32, optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)
    method = LotteryTicket(sparsity=0.8, rounds=1, train=training)
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    assert sum(one.zeros for one in after.evidence.matrices) == round(0.8 * TOTAL)
    assert after.accuracy(digits) > 0.95
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(method.contradictions(before.evidence, before.evidence)) == 1


def test_what_cannot_be_drawn_anew_or_trained_is_refused(subject: Any, workshop: Any) -> None:
    from dataclasses import replace

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(3))
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)  # type: ignore[no-any-return]

    with torch.random.fork_rng(devices=[]):
        odd = Odd()
    with pytest.raises(MethodError, match="the weights of the model cannot be drawn anew: Odd has no"):
        LotteryTicket(sparsity=0.5).apply(subject(odd, torch.ones(1, 2)), workshop)
    bare = replace(workshop, data=replace(workshop.data, train=None))
    with pytest.raises(MethodError, match="lottery-ticket trains: it needs data with a training split"):
        LotteryTicket(sparsity=0.5).apply(subject(), bare)


def test_seeds_reproduce_and_differ(subject: Any, workshop: Any, other_seed: Any, weigh: Any) -> None:
    method = LotteryTicket(sparsity=0.5, rounds=1, train=Training(epochs=1))
    first, again, other = (weigh(method.apply(subject(), one)).content for one in (workshop, workshop, other_seed))
    assert first == again
    assert first != other
