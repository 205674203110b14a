"""The one training loop: recipes, fine-tuning, distillation and quantization-aware training all take it.

It is seeded by generators of its own, leaves the global random state as it was, and can be interrupted at any moment:
the model is then left as after its last whole step, in evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.data.base import Batch, Split
from harness.errors import MethodError
from harness.registry import Options
from harness.tasks.base import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    Loss = Callable[[nn.Module, Batch], torch.Tensor]

LARGEST_ROTATION, LARGEST_SHIFT = math.radians(10), 0.0625


class Training(Options):
    """How a model is trained; the defaults suit fine-tuning a model that has just been compressed."""

    epochs: int = Field(default=1, ge=1, le=10_000, description="passes over the training split")
    batch: int | None = Field(
        default=None, ge=1, description="samples a step; unset: as many as the task takes at once"
    )
    most_steps: int | None = Field(
        default=None, ge=1, description="end after so many steps, whatever is left of the epochs; unset: at their end"
    )
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="SGD with momentum, or AdamW")
    learning_rate: float = Field(default=0.01, gt=0, description="at its peak")
    weight_decay: float = Field(default=5e-4, ge=0, description="on weight matrices; biases and norms are spared")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD (of AdamW: its first beta)")
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="course of the learning rate")
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of all steps over which the rate rises to its peak"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of a label spread over all classes")
    augment: Literal["none", "affine"] = Field(
        default="none",
        description="affine: images of a classifier are shifted by up to 1/16 and turned by up to 10 degrees",
    )

    def batch_for(self, task: Task) -> int:
        """Samples a step: logits of 64 windows of a language model would be tens of gigabytes, so its task says."""
        return task.batch if self.batch is None else self.batch

    def steps(self, samples: int, task: Task) -> int:
        """Steps over a split of so many samples, all epochs together, if nothing ends them before."""
        steps = self.epochs * math.ceil(samples / self.batch_for(task))
        return steps if self.most_steps is None else min(steps, self.most_steps)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step, as a share of its peak.

        A linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, 2017, with no restart).
        """
        warm = round(self.warmup * steps)
        if step < warm:
            return (step + 1) / (warm + 1)
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(
    model: nn.Module,
    split: Split,
    task: Task,
    training: Training,
    *,
    seed: int,
    progress: Callable[[str], None],
    after_step: Callable[[nn.Module], None] | None = None,
    loss: Loss | None = None,
    labelled: bool = True,
) -> None:
    """Train a model in place and leave it in evaluation mode.

    Parameters that ask for no gradient stay as they are, unless none asks for one: such a model was loaded for
    inference, and is trained whole. Either way every `requires_grad` is afterwards what it was.

    Args:
        model: what to train.
        split: samples to train on.
        task: gives the loss of a batch.
        training: options.
        seed: decides order, augmentation and dropout.
        progress: told the epoch and its mean loss.
        after_step: called after every step and at the end, however that comes; re-applies what a step must not undo.
        loss: replaces the task's loss; `label_smoothing` is then its own matter.
        labelled: whether that loss looks at the targets of a batch, and not at its inputs alone.

    Raises:
        MethodError: the loss stopped being finite, no weight moved, there is nothing to train on, or the images cannot
            be augmented.
    """
    import torch

    if len(split) == 0:
        raise MethodError("there is no sample to train on")
    # What is compared with another model's answers to the moved images has moved with them.
    if training.augment == "affine" and labelled and not task.movable:
        raise MethodError(
            f"`augment: {training.augment}` moves images and not what {task.task} is to find in them: leave it out"
        )
    chosen = loss or task_loss(task, training.label_smoothing)
    with _trainable(model) as parameters, torch.random.fork_rng(devices=[]), torch.enable_grad():
        before = [parameter.detach().clone() for parameter in parameters]
        torch.manual_seed(seed)
        optimizer = _optimizer(parameters, training)
        steps, size = training.steps(len(split), task), training.batch_for(task)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: training.rate(step, steps))
        generator = torch.Generator().manual_seed(seed)
        try:
            taken = 0
            for epoch in range(training.epochs):
                total, seen = 0.0, 0
                if taken == steps:
                    break
                for batch in split.batches(size, shuffle=seed * training.epochs + epoch):
                    if taken == steps:
                        break
                    if len(batch.targets) == 1 and seen and size > 1:
                        continue  # batch normalisation has no variance over a lone last sample
                    if training.augment == "affine":
                        batch = _moved(batch, generator)
                    value = chosen(model, batch)
                    total, seen = total + value.item() * len(batch.targets), seen + len(batch.targets)
                    if not math.isfinite(total):
                        raise MethodError(
                            f"training diverged in epoch {epoch + 1} of {training.epochs}: its loss is {value.item()}. "
                            f"Lower `learning_rate` (now {training.learning_rate:g}) or raise `warmup`"
                        )
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    schedule.step()
                    taken += 1
                    if after_step is not None:
                        after_step(model)
                progress(f"epoch {epoch + 1}/{training.epochs}, loss {total / max(1, seen):.3g}")
            if not all(bool(parameter.isfinite().all()) for parameter in parameters):
                raise MethodError(
                    f"training diverged in its last step: lower `learning_rate` (now {training.learning_rate:g})"
                )
            # What an artifact stores cannot tell that a step trained it: here it can be told.
            if all(torch.equal(now, then) for now, then in zip(parameters, before, strict=True)):
                raise MethodError(
                    f"training left every weight as it was in {taken:,} steps: raise `learning_rate` (now "
                    f"{training.learning_rate:g}), or look whether there is anything to learn, as from a teacher that "
                    "answers alike already"
                )
        finally:
            optimizer.zero_grad(set_to_none=True)
            if after_step is not None:
                after_step(model)


def task_loss(task: Task, label_smoothing: float) -> Loss:
    """The loss of a task, its labels smoothed where that is asked for."""
    if label_smoothing == 0:
        return task.loss
    return lambda model, batch: task.loss(model, batch, label_smoothing)


@contextmanager
def _trainable(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters to train, with the model in training mode; afterwards in evaluation mode, flags restored."""
    asked = [parameter.requires_grad for parameter in model.parameters()]
    parameters = [
        one for one in model.parameters() if one.is_floating_point() and (one.requires_grad or not any(asked))
    ]
    if not parameters:
        raise MethodError("the model has no parameter that can be trained")
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        model.train()
        yield parameters
    finally:
        for parameter in parameters:
            parameter.requires_grad_(any(asked))
        model.eval()


def _optimizer(parameters: list[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    import torch

    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=training.learning_rate, betas=(training.momentum, 0.999))
    return torch.optim.SGD(groups, lr=training.learning_rate, momentum=training.momentum)


def _moved(batch: Batch, generator: torch.Generator) -> Batch:
    """A batch whose images are each turned and shifted a little, at random; what enters at a border repeats it."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    images = batch.inputs[0]
    if images.ndim != 4:
        raise MethodError(
            f"`augment: affine` needs images of shape (batch, channels, height, width), not {tuple(images.shape)}"
        )
    draws = torch.rand(3, len(images), generator=generator) * 2 - 1
    angle = draws[0] * LARGEST_ROTATION
    # affine_grid measures in half image sizes, so a share of the whole image is twice that.
    across, down = draws[1:] * LARGEST_SHIFT * 2
    rows = torch.stack([angle.cos(), -angle.sin(), across, angle.sin(), angle.cos(), down], dim=1)
    grid = affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    return replace(batch, inputs=(moved, *batch.inputs[1:]))
