"""Source `torchvision`: any architecture that torchvision registers, with weights of your own or published ones."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import SourceError
from harness.extras import installed
from harness.sources.architecture import Listed, build, unknown_architecture
from harness.sources.base import SOURCES, digest_of, fit_weights, read_weights
from harness.sources.detectors import ssd
from harness.sources.download import checkpoint

if TYPE_CHECKING:
    import torch

# The builder's own switches: the first three would fetch or change weights, the last is what `compress:` is for.
RESERVED = ("weights", "weights_backbone", "progress", "quantize")


@SOURCES.register
class Torchvision(Listed):
    """A torchvision architecture, by the name that torchvision registers."""

    source: Literal["torchvision"] = "torchvision"
    name: str = Field(min_length=1, description="registered model name, for example shufflenet_v2_x0_5")
    weights: str = Field(
        min_length=1,
        description="path of a state dict (safetensors, or torch.save), or the name of published weights, "
        "for example IMAGENET1K_V2, which are downloaded. What published weights change in the architecture, a path "
        "leaves to `options`: those of inception_v3 and googlenet were trained with `transform_input: true`",
    )
    reserved: ClassVar[tuple[str, ...]] = RESERVED

    @property
    def published(self) -> str | None:
        """The member name of published weights, or None where `weights` is a path."""
        found = re.fullmatch(r"(?:\w+_Weights\.)?([A-Z][A-Z0-9_]*)", self.weights)
        return found.group(1) if found else None

    def load(self, root: Path) -> torch.nn.Module:
        """The float model, in evaluation mode."""
        import torchvision

        known = torchvision.models.list_models()
        if self.name not in known:
            raise unknown_architecture("torchvision", self.name, known)
        builder = torchvision.models.get_model_builder(self.name)
        if self.published is not None:
            return self._load_published(builder)
        # Detection and segmentation builders fetch a backbone unless told not to.
        bare = {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
        path = root / self.weights
        state = read_weights(path, trust=self.trust)
        model = fit_weights(build(builder, self.options, self.name, weights=None, **bare), state, self.weights)
        return _detector(model)

    def _load_published(self, builder: Callable[..., torch.nn.Module]) -> torch.nn.Module:
        import torchvision

        members: Any = torchvision.models.get_model_weights(builder)
        if self.published not in members.__members__:
            raise SourceError(
                f"torchvision publishes no weights {self.published} for {self.name}, but "
                f"{', '.join(members.__members__) or 'none'}; for a file of your own give its path"
            )
        chosen = members[self.published]
        # Reading the file here proves that it holds tensors alone; the builder, which knows what else these weights
        # change in the architecture, then unpickles the same file without that guard.
        read_weights(checkpoint(chosen.url, f"the weights {self.published} of {self.name}"))
        return _detector(build(builder, self.options, self.name, weights=chosen, progress=False).eval())

    def fingerprint(self, root: Path) -> str:
        """The version of torchvision, which decides architecture and published weights; the bytes of your own file."""
        return f"torchvision {installed('torchvision')}, {self.published or digest_of(root / self.weights)}"


def _detector(model: torch.nn.Module) -> torch.nn.Module:
    """A single-shot detector as object-detection takes it; any other model as it is."""
    from torchvision.models.detection.ssd import SSD

    return ssd(model) if isinstance(model, SSD) else model
