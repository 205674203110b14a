"""Image generation: images made of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.errors import MethodError, Unmeasurable
from harness.tasks.base import TASKS, Task

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch


@TASKS.register
class ImageGeneration(Task):
    """Images made of noise, by one call of a generator or by a sampler's chain of calls; the chain is the data's."""

    task: Literal["image-generation"] = "image-generation"
    batch: int = 64
    gives: ClassVar[frozenset[str]] = frozenset({"image"})
    # Several to a sample, none of them what should come of it.
    targets: ClassVar[str] = "real images"
    said: ClassVar[str] = (
        "Precision: {share:.2%} of {samples:,} images lie within the manifold of the real ones, held out"
    )

    def answers(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """The images.

        Args:
            outputs: shares of full scale, shape (batch, channels, height, width).

        Returns:
            ``image``: float32, shape (batch, channels, height, width).

        Raises:
            Unmeasurable: the output is no batch of images.
        """
        images = outputs[0]
        if images.ndim != 4:
            raise Unmeasurable(
                "image-generation needs images of shape (batch, channels, height, width); the model returned "
                f"{tuple(images.shape)}"
            )
        return {"image": images.float().numpy()}

    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean squared error to what the model is to give for its inputs.

        For a denoiser that is the noise (Ho et al. 2020, equation 14), for the decoder of a variational autoencoder the
        image: the reconstruction term of its evidence bound, with normal pixels of one variance.

        Raises:
            MethodError: labels are to be smoothed, and there is none.
        """
        from torch.nn.functional import mse_loss

        if label_smoothing:
            raise MethodError("image-generation has no labels to smooth: leave `label_smoothing` out")
        return mse_loss(model(*batch.inputs), batch.targets)

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """Mean squared difference of the outputs; they have no temperature and no direction."""
        from torch.nn.functional import mse_loss

        ours, theirs = (one if hasattr(one, "ndim") else one[0] for one in (student, teacher))
        return mse_loss(ours, theirs)
