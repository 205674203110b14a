"""A small convolutional variational autoencoder: the decoder makes images, the encoder only serves its training.

D. Kingma, M. Welling, "Auto-Encoding Variational Bayes", 2014.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def decoder(code: int = 12, image_size: int = 16, channels: int = 1, width: int = 32) -> nn.Sequential:
    """A linear layer and two transposed convolutions, then a convolution at full resolution.

    Takes codes (batch, code), returns images (batch, channels, image_size, image_size) between -1 and 1.
    """
    side = image_size // 4
    return nn.Sequential(
        OrderedDict(
            fc=nn.Linear(code, 2 * width * side * side),
            relu1=nn.ReLU(),
            unflatten=nn.Unflatten(1, (2 * width, side, side)),
            up1=nn.ConvTranspose2d(2 * width, 2 * width, 4, stride=2, padding=1),
            relu2=nn.ReLU(),
            up2=nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            relu3=nn.ReLU(),
            conv1=nn.Conv2d(width, width, 3, padding=1),
            relu4=nn.ReLU(),
            conv2=nn.Conv2d(width, channels, 3, padding=1),
            tanh=nn.Tanh(),
        )
    )


def encoder(code: int = 12, image_size: int = 16, channels: int = 1, width: int = 32) -> nn.Sequential:
    """Two convolutions of stride 2 and two linear layers.

    Takes images (batch, channels, image_size, image_size), returns mean and logarithm of the variance of the code,
    side by side: (batch, 2 · code).
    """
    side = image_size // 4
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, width, 4, stride=2, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(2 * width * side * side, 128),
            relu3=nn.ReLU(),
            fc2=nn.Linear(128, 2 * code),
        )
    )
