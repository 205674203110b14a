"""The statistics of batch normalization, taken anew from a model that has been changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.data.base import Split

if TYPE_CHECKING:
    import torch
    from torch import nn

# A mean over so many batches moves by a few tenths of a percent when more are taken.
MOST_BATCHES = 100
# The variance within a batch lacks a part of what tells samples apart: of one all of it, of sixteen a sixteenth.
LEAST_SAMPLES = 16


def reestimate(model: nn.Module, split: Split, *, batch: int, seed: int) -> None:
    """Replace running means and variances by plain averages over batches of the training split.

    A running average with momentum m remembers about 1/m steps and starts from what it was before. MobileNetV3's 0.01
    needs hundreds of steps to forget the statistics of the model before pruning, and fine-tuning takes a few dozen.
    P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2; by
    torch's own `update_bn`. Nothing happens to a model without batch normalization. Parameters stay as they are.

    Args:
        model: in evaluation mode, and left so.
        split: what it was trained on.
        batch: samples a batch, 16 where it is less; at most 100 batches are taken.
        seed: decides which, and what dropout leaves out.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.optim.swa_utils import update_bn

    if not any(isinstance(part, _BatchNorm) and part.track_running_stats for part in model.modules()):
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        update_bn(_inputs(split, max(batch, LEAST_SAMPLES), seed), _fed(model))
    model.eval()


def _inputs(split: Split, batch: int, seed: int) -> Iterator[list[tuple[torch.Tensor, ...]]]:
    """The inputs of each batch in a list of one, which is what `update_bn` unpacks."""
    for index, one in enumerate(split.batches(batch, shuffle=seed)):
        if index == MOST_BATCHES:
            return
        # A lone last sample has no variance.
        if index == 0 or len(one.targets) > 1:
            yield [one.inputs]


def _fed(model: nn.Module) -> nn.Module:
    """The model as one that takes its arguments as a tuple."""
    from torch import nn

    class Fed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: tuple[torch.Tensor, ...]) -> object:
            return self.model(*inputs)

    return Fed()
