"""The training loop: its steps against torch and numpy, and what it leaves behind."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import affine_transform
from torch import nn

from harness.data.base import Batch, TensorSplit
from harness.errors import MethodError
from harness.tasks.classification import Classification
from harness.tasks.image_classification import ImageClassification
from harness.tasks.image_generation import ImageGeneration
from harness.training import LARGEST_ROTATION, LARGEST_SHIFT, Training, _moved, train

TASK = ImageClassification()


def quiet(line: str) -> None:
    """Progress that nobody watches."""


def blobs(samples: int = 64, classes: int = 3) -> TensorSplit:
    """Points around the corners of a simplex; a linear model separates them."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(samples) % classes
    return TensorSplit(torch.eye(classes)[targets] * 3 + torch.randn(samples, classes, generator=generator), targets)


def linear(classes: int = 3) -> nn.Linear:
    model = nn.Linear(classes, classes)
    with torch.no_grad():
        model.weight.copy_(torch.arange(classes * classes).view(classes, classes) / 10)
        model.bias.zero_()
    return model.eval()


def dropping() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Linear(16, 3)).eval()


def test_the_rate_without_warm_up_is_torchs_cosine() -> None:
    training, optimizer = Training(warmup=0.0), torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for step in range(40):
        assert training.rate(step, 40) == pytest.approx(cosine.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        cosine.step()


def test_the_rate_rises_in_equal_steps_and_then_falls_to_half_at_half_time() -> None:
    training = Training(warmup=0.2)
    assert [training.rate(step, 50) for step in range(11)] == pytest.approx([(step + 1) / 11 for step in range(11)])
    assert training.rate(30, 50) == pytest.approx(0.5)
    assert training.rate(50, 50) == pytest.approx(0)
    assert [Training(warmup=0.2, schedule="constant").rate(step, 50) for step in (10, 30, 49)] == [1, 1, 1]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_its_steps_are_those_of_gradient_descent_worked_out_by_hand(momentum: float) -> None:
    split, model, rate, decay = blobs(), linear(), 0.1, 0.05
    inputs, truth = split.inputs.double().numpy(), np.eye(3)[split.targets]
    weight, bias = model.weight.detach().double().numpy(), np.zeros(3)
    speed_weight, speed_bias = np.zeros_like(weight), np.zeros_like(bias)
    for _ in range(5):
        logits = inputs @ weight.T + bias
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gap = (share - truth) / len(inputs)
        speed_weight = momentum * speed_weight + gap.T @ inputs + decay * weight
        speed_bias = momentum * speed_bias + gap.sum(axis=0)
        weight, bias = weight - rate * speed_weight, bias - rate * speed_bias

    options = Training(
        epochs=5, batch=64, learning_rate=rate, momentum=momentum, weight_decay=decay, schedule="constant", warmup=0.0
    )
    train(model, split, TASK, options, seed=0, progress=quiet)
    np.testing.assert_allclose(model.weight.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.bias.detach().numpy(), bias, rtol=1e-4, atol=1e-6)


def test_label_smoothing_trains_towards_the_smoothed_answer() -> None:
    """One class, separable without bound: the loss is least where the softmax equals the smoothed target."""
    split = TensorSplit(torch.ones(8, 1), torch.zeros(8, dtype=torch.int64))
    model = nn.Linear(1, 4)
    options = Training(
        epochs=400, batch=8, learning_rate=0.5, momentum=0.9, weight_decay=0.0, label_smoothing=0.2, schedule="constant"
    )
    train(model, split, TASK, options, seed=0, progress=quiet)
    assert model(torch.ones(1, 1)).softmax(1)[0].tolist() == pytest.approx([0.85, 0.05, 0.05, 0.05], abs=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_seed_decides_everything_and_the_global_state_nothing(optimizer: str) -> None:
    def trained(seed: int, state: int) -> list[list[float]]:
        model = dropping()
        torch.manual_seed(state)
        before = torch.get_rng_state()
        options = Training.model_validate({"epochs": 3, "batch": 10, "optimizer": optimizer})
        train(model, blobs(), TASK, options, seed=seed, progress=quiet)
        assert torch.equal(before, torch.get_rng_state())
        return [parameter.tolist() for parameter in model.parameters()]

    assert trained(seed=5, state=1) == trained(seed=5, state=2)
    assert trained(seed=5, state=1) != trained(seed=6, state=1)


def test_progress_tells_epoch_and_mean_loss() -> None:
    lines: list[str] = []
    model = linear()
    expected = TASK.loss(model, next(blobs().batches(64))).item()
    train(model, blobs(), TASK, Training(epochs=2, batch=64, learning_rate=1e-12), seed=0, progress=lines.append)
    assert lines == [f"epoch 1/2, loss {expected:.3g}", f"epoch 2/2, loss {expected:.3g}"]


def test_frozen_parameters_stay_and_every_flag_is_restored() -> None:
    model = dropping()
    model[0].requires_grad_(False)
    frozen, free = model[0].weight.clone(), model[3].weight.clone()
    train(model, blobs(), TASK, Training(), seed=0, progress=quiet)
    assert torch.equal(model[0].weight, frozen)
    assert not torch.equal(model[3].weight, free)
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, False, True, True, True, True]
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_loaded_for_inference_is_trained_whole_and_stays_one() -> None:
    model = linear().requires_grad_(False)
    before = model.weight.clone()
    with torch.no_grad():
        train(model, blobs(), TASK, Training(), seed=0, progress=quiet)
    assert not torch.equal(model.weight, before)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_mask_survives_every_step() -> None:
    model, seen = linear(), []

    def keep_the_diagonal(one: nn.Module) -> None:
        with torch.no_grad():
            seen.append(one.weight.diagonal().clone())
            one.weight.mul_(torch.eye(3))

    train(model, blobs(), TASK, Training(epochs=2, batch=16), seed=0, progress=quiet, after_step=keep_the_diagonal)
    assert len(seen) == 2 * 4 + 1
    assert torch.count_nonzero(model.weight) == 3


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupt_leaves_masks_mode_and_flags_in_order(at: int) -> None:
    model, steps = dropping(), 0

    def mask(one: nn.Module) -> None:
        with torch.no_grad():
            one[0].weight[0].zero_()

    def interrupted(one: nn.Module, batch: Batch) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == at:
            raise KeyboardInterrupt
        return TASK.loss(one, batch)

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(model, blobs(), TASK, Training(batch=16), seed=0, progress=quiet, after_step=mask, loss=interrupted)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in model.modules())
    assert torch.count_nonzero(model[0].weight[0]) == 0
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_loss_of_ones_own_replaces_the_tasks() -> None:
    model = linear()
    train(
        model,
        blobs(),
        TASK,
        Training(epochs=300, learning_rate=0.1, weight_decay=0.0),
        seed=0,
        progress=quiet,
        loss=lambda one, batch: one(*batch.inputs).square().mean(),
    )
    assert model.weight.abs().max().item() < 1e-3


def test_divergence_is_told_with_the_way_out() -> None:
    model = linear()
    with pytest.raises(MethodError, match=r"diverged in epoch \d of 9.*Lower `learning_rate` \(now 1e\+38\)"):
        train(model, blobs(), TASK, Training(epochs=9, learning_rate=1e38), seed=0, progress=quiet)
    assert not model.training


def test_divergence_in_the_very_last_step_is_told_too() -> None:
    model = linear()
    with pytest.raises(MethodError, match="diverged in its last step"):
        train(
            model,
            blobs(),
            TASK,
            Training(learning_rate=1e38, warmup=0.0),
            seed=0,
            progress=quiet,
            loss=lambda one, batch: 1e30 * one(*batch.inputs).sum(),
        )


def test_a_lone_last_sample_does_not_break_batch_normalisation() -> None:
    model = dropping()
    train(model, blobs(samples=17), TASK, Training(batch=8), seed=0, progress=quiet)
    assert model[2].num_batches_tracked == 2


def test_nothing_to_train_on_and_nothing_to_train_are_refused() -> None:
    with pytest.raises(MethodError, match="no sample"):
        train(linear(), blobs(samples=0), TASK, Training(), seed=0, progress=quiet)
    with pytest.raises(MethodError, match="no parameter"):
        train(nn.Flatten(), blobs(), TASK, Training(), seed=0, progress=quiet)


def test_augmentation_turns_and_shifts_as_scipy_does() -> None:
    side, images = 16, torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    moved = _moved(Batch((images,), torch.zeros(6)), torch.Generator().manual_seed(9)).inputs[0]
    draws = (torch.rand(3, 6, generator=torch.Generator().manual_seed(9)) * 2 - 1).double().numpy()
    for image, result, (turn, across, down) in zip(images[:, 0], moved[:, 0], draws.T, strict=True):
        angle = turn * LARGEST_ROTATION
        # scipy maps output to input pixels as (row, column) about the corner; torch's rows are (x, y) about the middle.
        matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        middle = np.full(2, (side - 1) / 2)
        shift = np.array([down, across]) * LARGEST_SHIFT * side
        expected = affine_transform(
            image.double().numpy(), matrix, offset=middle - matrix @ middle + shift, order=1, mode="nearest"
        )
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-4)


def test_only_images_can_be_augmented() -> None:
    with pytest.raises(MethodError, match="needs images"):
        train(linear(), blobs(), TASK, Training(augment="affine"), seed=0, progress=quiet)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"learning_rate": 0.0},
        {"learning_rate": "1e-3"},
        {"learning_rate": float("nan")},
        {"optimizer": "adam"},
        {"momentum": 1.0},
        {"lr": 0.1},
    ],
)
def test_options_are_closed_and_strict(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Training.model_validate(options)


@pytest.mark.parametrize(("most", "expected"), [(None, 12), (5, 5), (1, 1), (99, 12)])
def test_training_ends_after_so_many_steps(most: int | None, expected: int) -> None:
    training = Training(epochs=3, batch=16, most_steps=most)
    assert training.steps(64, TASK) == expected
    seen: list[int] = []

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        seen.append(len(batch.targets))
        return TASK.loss(model, batch)

    train(linear(), blobs(), TASK, training, seed=0, progress=quiet, loss=loss)
    assert seen == [16] * expected


def test_batches_of_one_are_all_trained_on() -> None:
    seen: list[int] = []

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        seen.append(int(batch.targets))
        return TASK.loss(model, batch)

    train(linear(), blobs(9), TASK, Training(batch=1), seed=0, progress=quiet, loss=loss)
    assert sorted(seen) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("batch", "takes", "expected"), [(None, 64, 64), (None, 1, 1), (16, 1, 16)])
def test_a_step_takes_as_many_samples_as_the_task_unless_told(batch: int | None, takes: int, expected: int) -> None:
    """64 windows of 512 tokens are 34 GB of logits where a vocabulary has 262,144 words."""
    task = TASK.model_copy(update={"batch": takes})
    seen: list[int] = []

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        seen.append(len(batch.targets))
        return TASK.loss(model, batch)

    training = Training(batch=batch)
    train(linear(), blobs(64), task, training, seed=0, progress=quiet, loss=loss)
    assert set(seen) == {expected}
    assert len(seen) == training.steps(64, task) == 64 // expected


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_training_that_moves_no_weight_is_told(optimizer: Literal["sgd", "adamw"]) -> None:
    """At a rate that float32 takes for zero; an artifact could not tell."""
    training = Training(epochs=2, batch=16, optimizer=optimizer, learning_rate=1e-60)
    with pytest.raises(MethodError, match="left every weight as it was in 8 steps: raise `learning_rate`"):
        train(linear(), blobs(64), TASK, training, seed=0, progress=quiet)


def test_images_are_not_moved_away_from_what_is_to_be_found_in_them() -> None:
    """Boxes, and the noise of a denoiser, would stay where they were."""
    training = Training(epochs=1, augment="affine")
    with pytest.raises(MethodError, match=r"moves images and not what image-generation is to find in them"):
        train(
            nn.Identity(), TensorSplit(torch.zeros(4, 1, 8, 8), torch.zeros(4)), ImageGeneration(), training,
            seed=0, progress=quiet,
        )  # fmt: skip


class Spectrograms(Classification):
    """A task of another distribution: sounds as pictures, which may move."""

    task: str = "audio-classification"
    movable: ClassVar[bool] = True


def test_a_task_of_ones_own_says_itself_that_its_images_may_be_moved() -> None:
    images = TensorSplit(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    before = model[1].weight.detach().clone()
    train(model, images, Spectrograms(), Training(augment="affine"), seed=0, progress=quiet)
    assert not torch.equal(model[1].weight, before)


def test_a_loss_of_ones_own_says_whether_it_looks_at_what_would_not_move_along() -> None:
    images = TensorSplit(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(8))

    def learn(labelled: bool) -> None:
        train(
            nn.Conv2d(1, 1, 3, padding=1), images, ImageGeneration(), Training(augment="affine"),
            seed=0, progress=quiet, labelled=labelled,
            loss=lambda one, batch: (one(*batch.inputs) - batch.inputs[0]).square().mean(),
        )  # fmt: skip

    learn(labelled=False)
    with pytest.raises(MethodError, match="moves images and not what image-generation is to find in them"):
        learn(labelled=True)
