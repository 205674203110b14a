from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from harness.data.base import TensorSplit
from harness.errors import MethodError
from harness.methods.pruning import movement
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.movement import MovementPruning
from harness.training import Training

TOTAL = 61_470


def test_sparsity_is_exact_and_the_model_still_knows(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = MovementPruning(sparsity=0.6, train=Training(epochs=5, optimizer="adamw", learning_rate=0.003))
    pruned = method.apply(subject(), workshop)
    assert list(pruned.model.state_dict()) == list(subject().model.state_dict())
    before, after = weigh(subject()), weigh(pruned)
    assert sum(one.zeros for one in after.evidence.matrices) == round(0.6 * TOTAL)
    assert after.accuracy(digits) > before.accuracy(digits) - 0.04
    assert method.contradictions(before.evidence, after.evidence) == []
    assert len(method.contradictions(before.evidence, before.evidence)) == 1
    assert after.content == weigh(method.apply(subject(), workshop)).content


def test_a_weight_that_moves_to_zero_goes_and_one_that_moves_away_stays(subject: Any, workshop: Any) -> None:
    """Two inputs: the first speaks for the class though its weights start small, the second against it."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (256,), generator=generator)
    useful = labels.float() * 2 - 1
    inputs = torch.stack([useful, torch.randn(256, generator=generator)], dim=1)
    split = TensorSplit(inputs, labels)
    assert workshop.data is not None
    here = replace(workshop, data=replace(workshop.data, train=split))
    start = torch.tensor([[-0.1, 0.6], [0.1, -0.6]])

    def pruned(method: Any) -> list[list[bool]]:
        with torch.random.fork_rng(devices=[]):
            layer = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            layer.weight.copy_(start)
        model = method.apply(subject(nn.Sequential(layer), inputs[:1]), here).model
        return (model[0].weight == 0).tolist()  # type: ignore[no-any-return]

    training = Training(epochs=4, batch=16, learning_rate=0.02, weight_decay=0.0)
    assert pruned(MagnitudePruning(sparsity=0.5)) == [[True, False], [True, False]]
    assert pruned(MovementPruning(sparsity=0.5, begin=0.5, end=0.9, train=training)) == [[False, True], [False, True]]


def test_movement_scores_gather_gradient_times_weight(subject: Any, workshop: Any) -> None:
    """One step of plain SGD: the score is -rate * dL/dW' * W, and the least go."""
    train = TensorSplit(workshop.data.train.inputs[:64], workshop.data.train.targets[:64])
    here = replace(workshop, data=replace(workshop.data, train=train))
    fresh = subject().model
    weights = {name: one for name, one in fresh.named_parameters() if one.ndim > 1}
    batch = next(train.batches(64))
    for one in fresh.parameters():
        one.requires_grad_(True)
    slopes = torch.autograd.grad(here.task.loss(fresh, batch), list(weights.values()))
    scores = torch.cat([-(slope * one).flatten() for slope, one in zip(slopes, weights.values(), strict=True)])
    method = MovementPruning(
        sparsity=0.5, begin=0.4, end=0.9, every=1,
        train=Training(epochs=1, batch=64, momentum=0.0, warmup=0.0, schedule="constant", learning_rate=1e-4),
    )  # fmt: skip
    model = method.apply(subject(), here).model
    gone = torch.cat([one.detach().flatten() == 0 for one in model.parameters() if one.ndim > 1])
    expected = torch.zeros_like(gone)
    expected[scores.argsort(stable=True)[: round(0.5 * TOTAL)]] = True
    assert float((gone == expected).float().mean()) > 0.999


def test_zeros_of_an_earlier_step_stay(subject: Any, workshop: Any) -> None:
    sparse = MagnitudePruning(sparsity=0.4).apply(subject(), workshop)
    before = {name: one.detach() == 0 for name, one in sparse.model.named_parameters() if one.ndim > 1}
    after = MovementPruning(sparsity=0.6, train=Training(epochs=1)).apply(sparse, workshop).model
    assert all(bool((after.get_parameter(name)[gone] == 0).all()) for name, gone in before.items())
    assert sum(int((one == 0).sum()) for one in after.parameters() if one.ndim > 1) == round(0.6 * TOTAL)


def test_data_to_train_on_is_asked_for(subject: Any, workshop: Any) -> None:
    bare = replace(workshop, data=replace(workshop.data, train=None))
    with pytest.raises(MethodError, match="movement-pruning trains: it needs data with a training split"):
        MovementPruning(sparsity=0.5).apply(subject(), bare)


def test_the_mask_that_the_last_steps_trained_under_is_the_one_that_is_left(
    subject: Any, workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores go on moving; a mask made of them at the very end would take weights that were trained to make up."""
    seen: list[float] = []
    real = movement.cubic
    monkeypatch.setattr(movement, "cubic", lambda final, passed: seen.append(passed) or real(final, passed))
    MovementPruning(sparsity=0.6, end=0.5, train=Training(epochs=1)).apply(subject(), workshop)
    assert seen[-1] == 1.0
    assert seen.count(1.0) == 1


@pytest.mark.parametrize(("sparsity", "keep"), [(0.6, ()), (0.2, ()), (0.6, ("fc1", "conv2")), (0.2, ("fc1",))])
def test_zeros_of_an_earlier_step_are_zero_in_every_step(
    sparsity: float, keep: tuple[str, ...], subject: Any, workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trained with a weight that is cut afterwards is another model than the one that is left."""
    sparse = MagnitudePruning(sparsity=0.4, scope="layer").apply(subject(), workshop)
    zeros = {name: one.detach() == 0 for name, one in sparse.model.named_parameters() if one.ndim > 1}
    regrown: list[int] = []
    real = movement.finetune

    def watched(model: nn.Module, training: Training, workshop: Any, *, asked: str, after_step: Any) -> None:
        def step(trained: nn.Module) -> None:
            after_step(trained)
            held = {name: trained.get_submodule(name.rpartition(".")[0]).weight for name in zeros}
            regrown.append(sum(int((held[name][gone] != 0).sum()) for name, gone in zeros.items()))

        real(model, training, workshop, asked=asked, after_step=step)

    monkeypatch.setattr(movement, "finetune", watched)
    method = MovementPruning(sparsity=sparsity, keep=keep, begin=0.1, end=0.5, every=2, train=Training(epochs=1))
    method.apply(sparse, workshop)
    assert len(regrown) > 10
    assert max(regrown) == 0
