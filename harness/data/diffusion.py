"""Diffusion: the sampler that turns noise into images step by step, and the noised images that a denoiser learns from.

J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", 2020. Schedulers are those of `diffusers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.data.base import Batch, Split
from harness.data.chain import Chain
from harness.registry import Options

if TYPE_CHECKING:
    import torch

    from harness.data.chain import Call


class Sampler(Options):
    """The sampler of a diffusion model, and the noise schedule that the model was trained with."""

    scheduler: Literal["ddim", "dpm-solver"] = Field(
        default="ddim",
        description="DDIM (Song, Meng and Ermon 2021, with eta 0) or the second-order multistep DPM-Solver++ (Lu et "
        "al. 2022); neither draws noise on the way",
    )
    steps: int = Field(default=10, ge=1, le=1000, description="calls of the model an image")
    train_steps: int = Field(default=1000, ge=1, description="steps of the noise schedule")
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = Field(
        default="squaredcos_cap_v2", description="noise schedule that the model was trained with, as diffusers names it"
    )
    prediction: Literal["epsilon", "sample", "v_prediction"] = Field(
        default="epsilon", description="what the model predicts: the noise, the image, or the velocity of both"
    )
    clip: bool = Field(default=True, description="clip predicted images to their range at each step (ddim)")

    @model_validator(mode="after")
    def _fits(self) -> Sampler:
        if self.steps > self.train_steps:
            raise ValueError(f"{self.steps} steps are more than the {self.train_steps} of the noise schedule")
        return self

    def made(self) -> Any:
        """The scheduler, with its steps set."""
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

        schedule: dict[str, Any] = {
            "num_train_timesteps": self.train_steps, "beta_schedule": self.beta_schedule,
            "prediction_type": self.prediction,
        }  # fmt: skip
        if self.scheduler == "ddim":
            made: Any = DDIMScheduler(**schedule, clip_sample=self.clip, set_alpha_to_one=True)
        else:
            made = DPMSolverMultistepScheduler(**schedule)
        made.set_timesteps(self.steps)
        return made


class Denoising(Chain):
    """Noise to images, shares of full scale.

    Args:
        sampler: scheduler and steps.
        low, high: black and white as the model has them.
    """

    def __init__(self, sampler: Sampler, low: float, high: float) -> None:
        self._sampler, self._low, self._high = sampler, low, high

    def run(self, model: Call, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Every step of the sampler.

        Args:
            model: takes noisy images (batch, …), timesteps of shape (batch,), int64, and what else a sample holds.
            inputs: standard normal noise first.
        """
        import torch

        # A multistep solver remembers its last steps, so each batch has a scheduler of its own.
        scheduler = self._sampler.made()
        latents, *given = inputs
        latents = latents * scheduler.init_noise_sigma
        with torch.inference_mode():
            for timestep in scheduler.timesteps:
                scaled = scheduler.scale_model_input(latents, timestep)
                times = torch.full((len(latents),), int(timestep), dtype=torch.int64)
                latents = scheduler.step(model((scaled, times, *given))[0], timestep, latents).prev_sample
        return (shares(latents, self._low, self._high),)


class Noised(Split):
    """Training images with noise on them, drawn anew in every epoch.

    Inputs are the noisy images (float32) and timesteps (int64, shape (batch,)), targets what the model is
    to predict: the simple objective of Ho et al. 2020, equation 14, for the noise.

    Args:
        images: the images as the model makes them: inputs of shape (batch, channels, height, width).
        sampler: the noise schedule.
    """

    def __init__(self, images: Split, sampler: Sampler) -> None:
        self._images, self._sampler = images, sampler

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream batches; order, timesteps and noise follow from `shuffle`."""
        import torch

        scheduler, steps = self._sampler.made(), self._sampler.train_steps
        generator = torch.Generator().manual_seed(shuffle or 0)
        for batch in self._images.batches(size, shuffle):
            images = batch.inputs[0]
            noise = torch.randn(images.shape, generator=generator)
            times = torch.randint(steps, (len(images),), generator=generator)
            noisy = scheduler.add_noise(images, noise, times)
            targets = {"epsilon": noise, "sample": images}.get(self._sampler.prediction)
            if targets is None:
                targets = scheduler.get_velocity(images, noise, times)
            yield Batch((noisy, times), targets)

    def digests(self) -> Iterator[bytes]:
        """Digests of the images."""
        return self._images.digests()

    @property
    def names(self) -> list[str]:
        """The images' names."""
        return self._images.names


def shares(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Images as shares of full scale, cut off at black and white; what is not finite stays so."""
    import torch

    scaled = (images - low) / (high - low)
    return torch.where(scaled.isfinite(), scaled.clamp(0, 1), scaled)
