"""Weights that are zero, and stay so while the model is trained further."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.methods.batch_norm import reestimate
from harness.training import Training, train

if TYPE_CHECKING:
    from torch import nn

    from harness.methods.base import Workshop
    from harness.training import Loss


def kept_zero(model: nn.Module) -> Callable[[nn.Module], None]:
    """What returns every weight that is zero now to zero: of this step, and of the steps before it.

    Only of weight matrices: a bias may be zero because it was never trained.
    """
    import torch

    zeros = {name: one == 0 for name, one in model.named_parameters() if one.ndim > 1 and bool((one == 0).any())}

    def reset(trained: nn.Module) -> None:
        with torch.no_grad():
            for name, one in trained.named_parameters():
                if name in zeros:
                    one.masked_fill_(zeros[name], 0)

    return reset


def finetune(
    model: nn.Module,
    training: Training,
    workshop: Workshop,
    *,
    asked: str = "`finetune:`",
    after_step: Callable[[nn.Module], None] | None = None,
    loss: Loss | None = None,
) -> None:
    """Train a pruned model further; its zeros stay, and its batch normalization is fitted to what it has become.

    Args:
        model: what to train.
        training: options.
        workshop: data, task, seed and progress.
        asked: what asked for it, as a sentence names it.
        after_step: replaces what keeps zeros: what is called after each step of the training.
        loss: replaces the task's loss.

    Raises:
        MethodError: the data has no training split, or training fails.
    """
    split = workshop.training(f"{asked} trains")
    train(
        model, split, workshop.task, training, seed=workshop.seed, progress=workshop.progress,
        after_step=after_step or kept_zero(model), loss=loss,
    )  # fmt: skip
    workshop.progress("averaging the statistics of batch normalization")
    reestimate(model, split, batch=training.batch_for(workshop.task), seed=workshop.seed)
