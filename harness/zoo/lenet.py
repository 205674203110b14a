"""LeNet-300-100 and LeNet-5, the two networks on which pruning and weight sharing are compared.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998; with the
ReLU and max pooling of the Caffe example, which S. Han, H. Mao, W. Dally, "Deep Compression", 2016 and its successors
prune.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn


def lenet300(image_size: int = 28, classes: int = 10) -> nn.Sequential:
    """LeNet-300-100: two hidden layers; 266,610 parameters at 28 pixels and ten classes.

    Takes (batch, 1, image_size, image_size), returns logits (batch, classes).
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(image_size * image_size, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, classes),
        )
    )


def lenet5(
    image_size: int = 28,
    convolutions: tuple[int, int] = (20, 50),
    hidden: tuple[int, ...] = (500,),
    classes: int = 10,
    channels: int = 1,
) -> nn.Sequential:
    """LeNet-5: two 5x5 convolutions with max pooling, then linear layers.

    The defaults are the Caffe variant (431,080 parameters); 32 pixels with ``convolutions=(6, 16)`` and
    ``hidden=(120, 84)`` are the sizes of 1998 (61,706).
    Takes (batch, channels, image_size, image_size), returns logits (batch, classes).
    """
    first, second = convolutions
    side = ((image_size - 4) // 2 - 4) // 2
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, first, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(first, second, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
    )
    widths = (second * side * side, *hidden)
    for index, (before, after) in enumerate(pairwise(widths), start=1):
        layers[f"fc{index}"] = nn.Linear(before, after)
        layers[f"relu{index + 2}"] = nn.ReLU()
    layers[f"fc{len(widths)}"] = nn.Linear(widths[-1], classes)
    return nn.Sequential(layers)
