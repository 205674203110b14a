"""Trains the variational autoencoder again: `python models/vae-digits/train.py [--output FOLDER]`.

Encoder and decoder are trained together on the training split of `digits`, by the one training loop. What is kept is
the decoder, and the posterior of each training image, on which a compressed decoder is fine-tuned.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import mse_loss

from harness.data.base import Batch, Split
from harness.data.digits import Digits
from harness.data.noise import Scaled
from harness.tasks.image_generation import ImageGeneration
from harness.training import Training, train
from harness.zoo.vae import decoder, encoder

HERE = Path(__file__).parent
CODE, SIZE = 8, 16
# Variance of a pixel around its mean: the weight of the divergence against the squared error.
VARIANCE = 0.2
TRAINING = Training(epochs=120, batch=64, optimizer="adamw", learning_rate=0.002, weight_decay=0.0, augment="affine")


class Autoencoder(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder(CODE, SIZE), decoder(CODE, SIZE)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The images decoded again, and mean and logarithm of the variance of their codes."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, log_variance


def bound(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The negative evidence bound an image, less its constant (Kingma and Welling 2014, equation 10)."""
    images = batch.inputs[0]
    decoded, mean, log_variance = model(images)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return mse_loss(decoded, images, reduction="sum") / len(images) / (2 * VARIANCE) + divergence


def posterior(model: Autoencoder, split: Split) -> dict[str, torch.Tensor]:
    """Mean and logarithm of the variance of each image's code, in float16: shape (images, code)."""
    with torch.inference_mode():
        found = torch.cat([model.encoder(batch.inputs[0]) for batch in split.batches(256)])
    return {"mean": found[:, :CODE].half().contiguous(), "log_variance": found[:, CODE:].half().contiguous()}


def said(line: str) -> None:
    """Show how far it is."""
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Train, and write the decoder's weights and the posterior."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE)
    output: Path = parser.parse_args().output
    torch.set_num_threads(1)
    digits = Digits(image_size=SIZE)
    images = digits.load(Path()).checked().train
    assert images is not None
    split = Scaled(images, digits, (-1.0, 1.0))
    torch.manual_seed(0)
    model = Autoencoder()
    train(model, split, ImageGeneration(), TRAINING, seed=0, loss=bound, progress=said)
    output.mkdir(parents=True, exist_ok=True)
    save_file(model.decoder.state_dict(), output / "weights.safetensors")
    save_file(posterior(model, split), output / "latents.safetensors")


if __name__ == "__main__":
    main()
