from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.optimal_brain_damage import OptimalBrainDamage
from harness.methods.pruning.taylor import TaylorPruning
from harness.training import Training


def loss(subject: Any, data: Any) -> float:
    split = data.train
    with torch.no_grad():
        return float(cross_entropy(subject.model(split.inputs), split.targets))


def test_small_weights_on_loud_inputs_outlive_large_ones_on_silent_inputs(subject: Any, workshop: Any) -> None:
    def model() -> nn.Sequential:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            built = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(2048, 10))
            built[0].weight[:] = torch.tensor([1.0, 1e-4]).view(2, 1, 1, 1)
            built[2].weight[:, :1024], built[2].weight[:, 1024:] = 0.01, 0.5
            return built

    for method, loud, silent in (
        (OptimalBrainDamage(sparsity=0.5, keep=("0",), samples=128), 10_240, 0),
        (MagnitudePruning(sparsity=0.5, keep=("0",)), 0, 10_240),
    ):
        left = method.apply(subject(model()), workshop).model[2].weight != 0
        assert (int(left[:, :1024].sum()), int(left[:, 1024:].sum())) == (loud, silent)


@pytest.mark.parametrize("sparsity", [0.4, 0.5])
def test_the_loss_rises_less_than_by_magnitude(sparsity: float, subject: Any, workshop: Any, digits: Any) -> None:
    """What the paper's figure 1 shows: the objective, without retraining."""
    damage = OptimalBrainDamage(sparsity=sparsity, samples=256).apply(subject(), workshop)
    size = MagnitudePruning(sparsity=sparsity).apply(subject(), workshop)
    assert loss(damage, digits) < loss(size, digits)


@pytest.mark.parametrize("kind", [OptimalBrainDamage, TaylorPruning])
def test_sparsity_is_as_asked_and_repeatable(kind: Any, subject: Any, workshop: Any, weigh: Any) -> None:
    method = kind(sparsity=0.6, samples=128, keep=("conv1",))
    before, after, again = subject(), *(weigh(method.apply(subject(), workshop)) for _ in range(2))
    assert after.content == again.content
    assert method.contradictions(weigh(before).evidence, after.evidence) == []
    assert len(method.contradictions(weigh(before).evidence, weigh(before).evidence)) == 1
    zeros = sum(one.zeros for one in after.evidence.matrices)
    assert zeros == round(0.6 * (61_470 - 150))


def test_rounds_with_training_between_them_keep_earlier_zeros(subject: Any, workshop: Any, digits: Any) -> None:
    seen: list[int] = []

    class Watched(OptimalBrainDamage):
        def scores(self, model: Any, weights: Any, workshop: Any) -> Any:
            seen.append(sum(int((one == 0).sum()) for one in weights.values()))
            return super().scores(model, weights, workshop)

    method = Watched(sparsity=0.875, rounds=3, samples=64, curvature="outputs", finetune=Training(epochs=1))
    pruned = method.apply(subject(), workshop)
    assert seen == [0, round(0.5 * 61_470), round(0.75 * 61_470)]
    assert sum(int((one == 0).sum()) for name, one in pruned.model.named_parameters() if one.ndim > 1) == 53_786
    assert loss(pruned, digits) < loss(MagnitudePruning(sparsity=0.875).apply(subject(), workshop), digits)
