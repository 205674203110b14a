"""Source `timm`: any architecture that timm registers, with weights of your own or those on the hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import SourceError
from harness.extras import installed
from harness.sources.architecture import Listed, build, unknown_architecture
from harness.sources.base import SOURCES, digest_of, fit_weights, read_weights
from harness.sources.download import OWN_WEIGHTS, checkpoint
from harness.sources.hub import fetched

if TYPE_CHECKING:
    import torch

PRETRAINED = "pretrained"
# Arguments of `timm.create_model` that fetch weights or point at them.
RESERVED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")


@SOURCES.register
class Timm(Listed):
    """A timm architecture, by the name that timm registers, with or without a pretrained tag."""

    source: Literal["timm"] = "timm"
    name: str = Field(min_length=1, description="registered model name, for example mobilenetv3_small_100.lamb_in1k")
    weights: str = Field(
        min_length=1,
        description="path of a state dict (safetensors, or torch.save), or `pretrained` for the hub's weights of that "
        "name, which are downloaded",
    )
    reserved: ClassVar[tuple[str, ...]] = RESERVED

    @property
    def published(self) -> str | None:
        """The word for published weights, or None where `weights` is a path."""
        return self.weights if self.weights == PRETRAINED else None

    def load(self, root: Path) -> torch.nn.Module:
        """The float model, in evaluation mode."""
        import timm

        if not timm.is_model(self.name.partition(".")[0]):
            raise unknown_architecture("timm", self.name, timm.list_models())
        try:
            config = timm.get_pretrained_cfg(self.name)
        except RuntimeError as error:
            tags = timm.list_models(f"{self.name.partition('.')[0]}.*", pretrained=True)
            raise SourceError(f"{error} timm knows {', '.join(tags) or 'none'}") from error
        constructor = partial(timm.create_model, self.name)
        if self.published is None:
            state = read_weights(root / self.weights, trust=self.trust)
            return fit_weights(build(constructor, self.options, self.name), state, self.weights)
        classes = self.options.get("num_classes", config.num_classes if config else None)
        if config is None or not (config.hf_hub_id or config.url):
            raise SourceError(f"timm has no pretrained weights for {self.name}: give `weights:` the path of a file")
        if classes != config.num_classes:
            raise SourceError(
                f"the pretrained weights of {self.name} tell {config.num_classes} classes apart; with num_classes: "
                f"{classes} the classifier would be random. Give `weights:` the path of a fine-tuned state dict"
            )
        overlay = {"file": str(_fetched(self.name, config))}
        return build(constructor, self.options, self.name, pretrained=True, pretrained_cfg_overlay=overlay).eval()

    def fingerprint(self, root: Path) -> str:
        """The version of timm, which decides the architecture and the hub's file; the bytes of your own file."""
        return f"timm {installed('timm')}, {self.published or digest_of(root / self.weights)}"


def _fetched(name: str, config: Any) -> Path:
    """The hub's file, from the cache where it is there."""
    what = f"the pretrained weights of {name}"
    if not config.hf_hub_id:
        path = checkpoint(config.url, what)
        read_weights(path)
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = config.hf_hub_id.partition("@")
    fetch = partial(
        hf_hub_download, repository, config.hf_hub_filename or "model.safetensors", revision=revision or None
    )
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        return Path(fetched(fetch, what, OWN_WEIGHTS))
