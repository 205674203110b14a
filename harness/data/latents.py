"""Codes of training images: what the decoder of a variational autoencoder learns from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.base import Batch, Split
from harness.errors import DataError

if TYPE_CHECKING:
    import torch


class Latents(Split):
    """Draws from the posterior of each training image, and the image that they stand for.

    The reconstruction term of the evidence bound (D. Kingma, M. Welling, "Auto-Encoding Variational Bayes", 2014,
    equation 10) is all of it that a decoder can lower: the other term is the encoder's.

    Args:
        images: the training images, which are the targets.
        file: safetensors with `mean` and `log_variance`, each of shape (images, …), in the order of the images.
    """

    def __init__(self, images: Split, file: Path) -> None:
        self._images, self._file = images, file

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches; order and draws follow from `shuffle`.

        Raises:
            DataError: the file is absent, or not of these images.
        """
        import torch

        mean, deviation = self._posterior()
        generator = torch.Generator().manual_seed(shuffle or 0)
        # Shuffled as the images are: by one permutation from the same seed.
        order = self.order(shuffle)
        for chosen, batch in zip(torch.split(order, size), self._images.batches(size, shuffle), strict=True):
            drawn = mean[chosen] + deviation[chosen] * torch.randn(mean[chosen].shape, generator=generator)
            yield Batch((drawn,), batch.inputs[0])

    def digests(self) -> Iterator[bytes]:
        """Digests of the images."""
        return self._images.digests()

    @property
    def names(self) -> list[str]:
        """The images' names."""
        return self._images.names

    def _posterior(self) -> tuple[torch.Tensor, torch.Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not self._file.is_file():
            raise DataError(f"no posterior at {self._file} (relative paths start at the directory that holds specs/)")
        try:
            stored = load_file(self._file)
        except SafetensorError as error:
            raise DataError(f"{self._file} is no readable safetensors file: {error}") from error
        if stored.keys() != {"mean", "log_variance"}:
            raise DataError(
                f"{self._file} holds {', '.join(sorted(stored)) or 'nothing'}, and not mean and log_variance"
            )
        mean, variance = (stored[name].float() for name in ("mean", "log_variance"))
        if len(mean) != len(self) or mean.shape != variance.shape:
            raise DataError(
                f"{self._file} holds codes of {len(mean):,} images, and {len(self):,} are trained on: encode these"
            )
        return mean, (variance / 2).exp()
