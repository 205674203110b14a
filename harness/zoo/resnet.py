"""Residual networks for small images: ResNet-20 and a narrower ResNet-18.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2016. Where a block changes shape its
shortcut is a 1x1 convolution (the paper's option B). Every activation is a module of its own, so that a quantizer can
give each site its own range.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; takes and returns (batch, channels, height, width)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: torch.Tensor = self.relu2(y + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A 3x3 stem at full resolution, stages of blocks that each halve it but the first, and a linear classifier."""

    def __init__(self, widths: Sequence[int], blocks: int, classes: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        stages: list[nn.Module] = []
        before = widths[0]
        for index, width in enumerate(widths):
            strides = [1 if index == 0 else 2] + [1] * (blocks - 1)
            stages.append(
                nn.Sequential(*(Block(before if at == 0 else width, width, s) for at, s in enumerate(strides)))
            )
            before = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (batch, classes)."""
        x = self.stages(self.relu(self.bn(self.conv(x))))
        logits: torch.Tensor = self.fc(torch.flatten(self.pool(x), 1))
        return logits


def resnet20(classes: int = 10, channels: int = 1) -> ResNet:
    """The 20-layer network that the paper trains on CIFAR-10: three stages of 16, 32 and 64 channels."""
    return ResNet((16, 32, 64), blocks=3, classes=classes, channels=channels)


def resnet18(width: float = 1.0, classes: int = 10, channels: int = 1) -> ResNet:
    """The 18-layer network's four stages behind a stem for small images; `width` scales every stage's channels."""
    return ResNet([int(base * width) for base in (64, 128, 256, 512)], blocks=2, classes=classes, channels=channels)
