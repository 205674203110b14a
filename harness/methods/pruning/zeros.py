"""Weights that are zero, and stay so while the model is trained further."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.errors import MethodError
from harness.methods.batch_norm import reestimate
from harness.training import Training, train

if TYPE_CHECKING:
    from torch import nn

    from harness.methods.base import Workshop


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


def finetune(model: nn.Module, training: Training, workshop: Workshop) -> None:
    """Train a pruned model further; its zeros stay, and its batch normalization is fitted to what it has become.

    Raises:
        MethodError: the data has no training split, or training fails.
    """
    if workshop.data is None or workshop.data.train is None:
        raise MethodError("`finetune:` needs data with a training split")
    train(
        model, workshop.data.train, workshop.task, training,
        seed=workshop.seed, progress=workshop.progress, after_step=kept_zero(model),
    )  # fmt: skip
    workshop.progress("averaging the statistics of batch normalization")
    reestimate(model, workshop.data.train, batch=training.batch, seed=workshop.seed)
