"""MobileNetV2 for small images.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: inverted residuals and linear bottlenecks", 2018.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import MobileNetV2


def mobilenetv2(width: float = 0.5, dropout: float = 0.2, classes: int = 10, channels: int = 1) -> MobileNetV2:
    """MobileNetV2 as torchvision builds it, with a stem that keeps the resolution and takes any number of channels.

    Takes (batch, channels, height, width), returns logits (batch, classes).
    """
    model = MobileNetV2(num_classes=classes, width_mult=width, dropout=dropout)
    first = model.features[0]
    stem = nn.Conv2d(channels, first[0].out_channels, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    first[0] = stem
    return model
