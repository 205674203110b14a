"""Data `noise`: what a generator makes images of, and the real images that they are held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.data.base import DATA, Batch, Data, Dataset, Split, TensorSplit
from harness.data.chain import Chain
from harness.data.diffusion import Denoising, Noised, Sampler, shares
from harness.data.digits import MEAN as DIGITS_MEAN
from harness.data.digits import STANDARD_DEVIATION as DIGITS_STD
from harness.data.digits import Digits
from harness.data.folder import Folder
from harness.data.latents import Latents
from harness.data.mnist import MEAN as MNIST_MEAN
from harness.data.mnist import STANDARD_DEVIATION as MNIST_STD
from harness.data.mnist import Mnist
from harness.errors import DataError
from harness.sources.base import digest_of

if TYPE_CHECKING:
    import torch

    from harness.data.chain import Call

# Seeds of the noise that is calibrated on lie as far from those of evaluation as seeds can.
ELSEWHERE = 2**31


@DATA.register
class Noise(Data):
    """Standard normal noise, the same for the float and the compressed generator, and real images to judge both by.

    A sample is one image to be made. With `sampler` the model is a denoiser and an image takes several calls of it;
    without, one call makes the image, as of a decoder or a GAN. Real images are those of another data source: its
    evaluation split is compared with, and its training split fine-tuned on.
    """

    source: Literal["noise"] = "noise"
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)] = Field(
        description="of one sample's noise, for example [1, 16, 16], or [16] for a vector"
    )
    samples: int = Field(default=400, ge=2, le=100_000, description="images to make and to evaluate")
    calibration: int = Field(
        default=128,
        ge=1,
        le=10_000,
        description="inputs of the model to calibrate on, from other noise; of a denoiser those that it meets on the "
        "way of the float model's sampler",
    )
    images: Annotated[Digits | Mnist | Folder, Field(discriminator="source")] = Field(
        default=Digits(image_size=16), description="the real images; `image_size` is that of the images made"
    )
    pixels: Annotated[tuple[float, float], Field(strict=False)] = Field(
        default=(-1.0, 1.0), description="black and white as the model has them"
    )
    sampler: Sampler | None = Field(default=None, description="how a denoiser makes an image; null: by one call")
    latents: str | None = Field(
        default=None,
        min_length=1,
        description="safetensors file with `mean` and `log_variance` of the posterior of each training image, from the "
        "encoder of a variational autoencoder: what its decoder is fine-tuned on",
    )
    seed: int = Field(default=0, ge=0, lt=ELSEWHERE, description="of the noise that is evaluated")
    tasks: ClassVar[frozenset[str]] = frozenset({"image-generation"})

    @model_validator(mode="after")
    def _fits(self) -> Noise:
        if self.pixels[0] == self.pixels[1]:
            raise ValueError(f"black and white are both {self.pixels[0]:g}: give `pixels` as [black, white]")
        if self.sampler is not None and self.latents is not None:
            raise ValueError("`latents` train a decoder, and `sampler` says that the model is a denoiser: give one")
        return self

    def evaluation_options(self) -> dict[str, Any]:
        """Of the real images, too, those that decide which are compared with."""
        return {**super().evaluation_options(), "images": self.images.evaluation_options()}

    def load(self, root: Path) -> Dataset:
        """Noise to start from; targets of the evaluation split are real images, as many to each sample.

        Targets are float32 of shape (samples, images a sample, channels, height, width), shares of full scale.
        """
        real = self.images.load(root).checked()
        if real.evaluation is None or len(real.evaluation) < self.samples:
            held = 0 if real.evaluation is None else len(real.evaluation)
            raise DataError(f"{self.samples:,} images are made, and {held:,} real ones held out: lower `samples`")
        return Dataset(
            calibration=self._noise(self.calibration, self.seed + ELSEWHERE, None),
            evaluation=self._noise(self.samples, self.seed, self._targets(real.evaluation)),
            train=self._train(real.train, root),
            chain=self._chain(),
        )

    def evaluated(self, root: Path) -> int:
        """The images that are made."""
        return self.samples

    def fingerprint(self, root: Path) -> str:
        """What decides the real images, and the posterior that is trained on."""
        latents = digest_of(root / self.latents) if self.latents else ""
        return f"{self.images.fingerprint(root)} {latents}"

    def _noise(self, count: int, seed: int, targets: torch.Tensor | None) -> TensorSplit:
        import torch

        noise = torch.randn((count, *self.shape), generator=torch.Generator().manual_seed(seed))
        names = [f"noise {index}" for index in range(count)]
        return TensorSplit(noise, torch.full((count,), torch.nan) if targets is None else targets, names=names)

    def _targets(self, real: Split) -> torch.Tensor:
        import torch

        images = torch.cat([batch.inputs[0] for batch in Scaled(real, self.images, (0.0, 1.0)).batches(256)])
        each = len(images) // self.samples
        return images[: each * self.samples].reshape(self.samples, each, *images.shape[1:])

    def _train(self, real: Split | None, root: Path) -> Split | None:
        if real is None:
            return None
        images = Scaled(real, self.images, self.pixels)
        if self.sampler is not None:
            return Noised(images, self.sampler)
        return None if self.latents is None else Latents(images, root / self.latents)

    def _chain(self) -> Chain:
        return OneCall(*self.pixels) if self.sampler is None else Denoising(self.sampler, *self.pixels)


class OneCall(Chain):
    """A generator that makes an image at once.

    Args:
        low, high: black and white as the model has them.
    """

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def run(self, model: Call, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The model's images as shares of full scale."""
        return (shares(model(inputs)[0], self._low, self._high),)


class Scaled(Split):
    """Images of another source between other values than it standardises them to.

    Args:
        split: of that source.
        source: what says how images were standardised.
        pixels: black and white as they are wanted.
    """

    def __init__(self, split: Split, source: Data, pixels: tuple[float, float]) -> None:
        self._split, self._source, self._pixels = split, source, pixels

    def __len__(self) -> int:
        return len(self._split)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches of the images."""
        import torch

        mean, std = (torch.tensor(part).reshape(-1, 1, 1) for part in _standardised(self._source))
        low, high = self._pixels
        for batch in self._split.batches(size, shuffle):
            images = (batch.inputs[0] * std + mean).clamp(0, 1)
            yield Batch((images * (high - low) + low,), batch.targets)

    def digests(self) -> Iterator[bytes]:
        """The images' digests."""
        return self._split.digests()

    @property
    def names(self) -> list[str]:
        """The images' names."""
        return self._split.names


def _standardised(source: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, a channel, that a source took from its images, and divided them by."""
    if isinstance(source, Folder):
        return source.normalize.mean, source.normalize.std
    if isinstance(source, Mnist):
        return (MNIST_MEAN,), (MNIST_STD,)
    return (DIGITS_MEAN,), (DIGITS_STD,)
