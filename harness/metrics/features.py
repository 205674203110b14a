"""Where generated images are compared: the features of a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from harness.errors import Unmeasurable
from harness.forms import Form
from harness.registry import OneOf, Options
from harness.sources.base import SOURCES, Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

BATCH = 256


class Features(Options):
    """A classifier, and which of its layers to read. By default LeNet-5 of the zoo, on the digits.

    For photographs, Inception v3: `{model: {source: torchvision, name: inception_v3, weights: FILE, options:
    {transform_input: true, init_weights: false}}, layer: avgpool, image_size: 299, mean: [0.485, 0.456, 0.406], std:
    [0.229, 0.224, 0.225], scale: none}`. Figures compare within one space alone.
    """

    model: Annotated[Source, OneOf(SOURCES)] = Field(
        default_factory=lambda: SOURCES["zoo"](source="zoo", name="lenet5-digits"),  # type: ignore[call-arg]
        description="a classifier of such images; `lenet5-digits` of the zoo if left out",
    )
    layer: str | None = Field(
        default=None,
        min_length=1,
        description="module whose output is taken, an average over positions where it is a map; what enters the last "
        "linear layer if left out",
    )
    image_size: int = Field(default=32, ge=1, description="side that images are resized to, in pixels")
    mean: Annotated[tuple[float, ...], Field(strict=False, min_length=1)] = Field(
        default=(0.3053,), description="subtracted from each channel of images that are shares of full scale"
    )
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)] = Field(
        default=(0.3760,), description="what each channel is then divided by; as many as of `mean`, 3 repeat a grey one"
    )
    scale: Literal["real", "none"] = Field(
        default="real",
        description="real: features are divided by their root mean square over the real images, so that a distance "
        "does not depend on a network's units; none: as the network gives them, as published figures of Inception are",
    )

    def fingerprint(self, root: Path) -> str:
        """What decides the features."""
        return f"{self.model_dump_json()} {self.model.fingerprint(root)}"

    def of(self, images: np.ndarray[Any, Any], root: Path) -> np.ndarray[Any, Any]:
        """Features of images that are shares of full scale.

        Args:
            images: float32, shape (images, channels, height, width).
            root: where relative paths start.

        Returns:
            float32, shape (images, features).

        Raises:
            SourceError: the classifier cannot be loaded; the sentence says how it can.
            Unmeasurable: it is no torch module, has no such layer, or does not take these images.
        """
        import torch
        from torch.nn.functional import interpolate

        if self.model.gives is not Form.TORCH:
            raise Unmeasurable(
                f"features are read from a torch module, and `features.model` gives a {self.model.gives}"
            )
        network = self.model.load(root).eval()
        mean, std = (torch.tensor(part).reshape(-1, 1, 1) for part in (self.mean, self.std))
        if len(mean) != len(std) or images.shape[1] not in (1, len(mean)):
            raise Unmeasurable(
                f"images have {images.shape[1]} channels, `features.mean` {len(mean)} and `features.std` {len(std)}"
            )
        read: list[torch.Tensor] = []
        hook = self._listened(network, read)
        try:
            with torch.inference_mode():
                for number, batch in enumerate(torch.split(torch.from_numpy(images), BATCH), 1):
                    sized = interpolate(batch, size=self.image_size, mode="bilinear", antialias=True)
                    network((sized.expand(-1, len(mean), -1, -1) - mean) / std)
                    self._require_one_each(len(read) - number + 1, read[-1:], len(batch))
        except RuntimeError as error:
            raise Unmeasurable(f"the classifier of `features:` does not take these images: {error}") from error
        finally:
            hook.remove()
        found = torch.cat([one.float().flatten(2).mean(dim=2) if one.ndim > 2 else one.float() for one in read])
        return found.numpy()

    def _listened(self, network: torch.nn.Module, read: list[torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
        from torch import nn

        if self.layer is not None:
            layers = dict(network.named_modules())
            if self.layer not in layers:
                raise Unmeasurable(f"`features.layer`: the classifier has no module {self.layer!r}")
            module: nn.Module = layers[self.layer]
            return module.register_forward_hook(lambda _, __, output: read.append(self._kept(output)))
        linear = [one for one in network.modules() if isinstance(one, nn.Linear)]
        if not linear:
            raise Unmeasurable("the classifier of `features:` has no linear layer: name a module as `features.layer`")
        return linear[-1].register_forward_pre_hook(lambda _, given: read.append(self._kept(given[0])))

    def _kept(self, output: object) -> torch.Tensor:
        """A copy: what comes after a layer may write into what it gave."""
        import torch

        if not isinstance(output, torch.Tensor):
            raise Unmeasurable(
                f"{self._place} gives a {type(output).__name__}, and features are read from one tensor: name a module "
                "that gives one"
            )
        return output.detach().clone()

    def _require_one_each(self, calls: int, read: Sequence[torch.Tensor], images: int) -> None:
        """Hold a pass of the network to one reading, with a row for each image."""
        if calls != 1:
            raise Unmeasurable(
                f"{self._place} is called {calls} times a pass, and features are read once an image: name a module "
                "that is called once"
            )
        if read[0].ndim < 2 or len(read[0]) != images:
            raise Unmeasurable(
                f"{self._place} gives a tensor of shape {tuple(read[0].shape)} for {images} images, and features are a "
                "row an image: name a module that keeps images apart"
            )

    @property
    def _place(self) -> str:
        """What sentences call the module that is read."""
        return (
            f"`features.layer`: {self.layer}" if self.layer else "`features.layer` is left out: the last linear layer"
        )
