"""A small denoiser: the U-Net of `diffusers` without attention, over patches of pixels.

J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", 2020, appendix B.
"""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


class Denoiser(UNet2DModel):
    """The U-Net with plain tensors on both sides; each patch of `patch` x `patch` pixels is one position of it."""

    patch = 1

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """What is to be predicted of noisy images.

        Args:
            sample: noisy images, shape (batch, channels, height, width).
            timestep: int64, shape (batch,).
        """
        patches = pixel_unshuffle(sample, self.patch)
        predicted: torch.Tensor = super().forward(patches, timestep, return_dict=False)[0]
        return pixel_shuffle(predicted, self.patch)


def unet(
    image_size: int = 16,
    channels: int = 1,
    widths: tuple[int, ...] = (32, 64),
    patch: int = 2,
    layers: int = 1,
    groups: int = 8,
) -> Denoiser:
    """A U-Net of convolutions; one level a width, each at half the resolution of the one above.

    Takes (batch, channels, image_size, image_size) and timesteps (batch,), returns what it takes first.
    """
    model: Denoiser = Denoiser(
        sample_size=image_size // patch,
        in_channels=channels * patch**2,
        out_channels=channels * patch**2,
        layers_per_block=layers,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        add_attention=False,
        norm_num_groups=groups,
    )
    model.patch = patch
    return model
