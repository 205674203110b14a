"""Source `ultralytics`: detectors of the YOLO family, with weights of your own or published ones."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.artifacts.ultralytics import import_ultralytics
from harness.errors import SourceError
from harness.extras import installed
from harness.sources.architecture import unknown_architecture
from harness.sources.base import SOURCES, Source, digest_of, fit_weights, read_weights
from harness.sources.detectors import yolo
from harness.sources.download import checkpoint

if TYPE_CHECKING:
    import torch

PUBLISHED = "https://github.com/ultralytics/assets/releases/download/v8.4.0"


@SOURCES.register
class Ultralytics(Source):
    """A detector of ultralytics: an architecture that it lists, or one of your own, and weights.

    A checkpoint of its trainer (``best.pt``) is read by the library's restricted unpickler, which knows its own classes
    and torch's; anything else in it needs `trust: true`. The library is under the AGPL-3.0 licence, and so are models
    that are published with it.
    """

    source: Literal["ultralytics"] = "ultralytics"
    also: ClassVar[Mapping[str, str]] = {"yolo": ""}
    name: str = Field(
        min_length=1,
        description="the architecture, for example yolo11n, or the path of a yaml of your own",
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="path of a checkpoint of the trainer (.pt), or of a state dict (safetensors, or torch.save); left "
        "out: the published weights of that name, which are downloaded",
    )
    classes: int | None = Field(
        default=None, ge=1, description="of the weights; what a checkpoint or the architecture says otherwise"
    )
    trust: bool = Field(default=False, description="unpickle the weights file even if that runs code from it")

    def load(self, root: Path) -> torch.nn.Module:
        """The float detector, in evaluation mode: images in, candidates out."""
        import_ultralytics()
        if self.weights is None:
            what = f"the published weights of {self.name}"
            given = _checkpoint(checkpoint(f"{PUBLISHED}/{Path(self.name).stem}.pt", what), trust=False)
            if given is None:
                raise SourceError(f"{what} are no checkpoint of ultralytics")
            return yolo(_detecting(given, self.name))
        path = root / self.weights
        given = _checkpoint(path, trust=self.trust) if path.suffix == ".pt" and path.is_file() else None
        state = given.state_dict() if given is not None else _bare(read_weights(path, trust=self.trust))
        classes = self.classes or (given.model[-1].nc if given is not None else None)
        return yolo(fit_weights(self._architecture(root, classes), state, self.weights))

    def built(self) -> torch.nn.Module:
        """A detector of a listed architecture with random weights."""
        import_ultralytics()
        return yolo(self._architecture(Path(), self.classes))

    def fingerprint(self, root: Path) -> str:
        """The version of ultralytics, which decides listed architectures and published weights; the bytes of files."""
        own = root / self.name
        described = digest_of(own) if own.is_file() else self.name
        weights = "published" if self.weights is None else digest_of(root / self.weights)
        return f"ultralytics {installed('ultralytics')}, {described}, {weights}"

    def _architecture(self, root: Path, classes: int | None) -> Any:
        """The network with random weights.

        Raises:
            SourceError: no such architecture, or it is no detector.
        """
        import torch
        from ultralytics.nn.tasks import DetectionModel

        own = root / self.name
        if own.suffix in (".yaml", ".yml") and not own.is_file():
            raise SourceError(f"no architecture at {own} (relative paths start at the directory that holds specs/)")
        known = _listed()
        stem = re.sub(r"(\d+)([nslmxtceb])(?=$|-)", r"\1", self.name)
        if not own.is_file() and not {self.name, stem} & set(known):
            raise unknown_architecture("ultralytics", self.name, [*known, *(f"{one}n" for one in known)])
        described = str(own) if own.is_file() else f"{self.name}.yaml"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                network = DetectionModel(described, nc=classes, verbose=False)
            except Exception as error:
                if isinstance(error, ImportError):
                    raise
                raise SourceError(f"{self.name} builds no detector: {type(error).__name__}: {error}") from error
        return _detecting(network, self.name)


def _listed() -> list[str]:
    """The architectures that the library describes, without their scales."""
    package = importlib.util.find_spec("ultralytics")
    folders = package.submodule_search_locations if package is not None else None
    return sorted(path.stem for folder in folders or () for path in Path(folder, "cfg", "models").rglob("*.yaml"))


def _checkpoint(path: Path, *, trust: bool) -> Any:
    """The network of a trainer's checkpoint, averaged weights first; None where the file is something else.

    Raises:
        SourceError: it holds more than the restricted unpickler knows, or cannot be read.
    """
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    try:
        loaded, _ = torch_safe_load(str(path), safe_only=not trust)
    except Exception as error:
        if any(sign in str(error) for sign in ("outside the supported", "weights_only", "blocked")):
            raise SourceError(
                f"{path} holds more than a model of ultralytics, and unpickling that would run code from the file. Set "
                "`trust: true` beside `weights:` if you know where it comes from"
            ) from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise SourceError(f"{path} is no readable checkpoint ({type(error).__name__}: {first})") from error
    network = (loaded.get("ema") or loaded.get("model")) if isinstance(loaded, dict) else None
    return network.float() if isinstance(network, torch.nn.Module) else None


def _bare(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the prefix that the zoo's detectors have."""
    return {name.removeprefix("network."): value for name, value in state.items()}


def _detecting(network: Any, name: str) -> Any:
    """A network that detects boxes, with what its loss is set up by; a head without suppression gives way to the other.

    Raises:
        SourceError: it segments, classifies, or does something else.
    """
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.modules.head import Detect

    head: Any = network.model[-1] if hasattr(network, "model") else None
    if type(head) is not Detect:
        raise SourceError(
            f"{name} is no detector of boxes: its head is {type(head).__name__}, and object-detection takes `Detect`"
        )
    if head.end2end:
        if head.cv2 is None:
            raise SourceError(f"{name} was fused without its one-to-many head: give the checkpoint before it was fused")
        head.end2end = False
    # Otherwise it keeps the grid of the last size between calls, which a trace would take for another model's.
    head.dynamic = True
    network.args = get_cfg()
    for part in network.parameters():
        part.requires_grad_(True)
    if head.reg_max > 1:
        # Numbers from 0 to 15, which are no weights.
        head.dfl.conv.weight.requires_grad_(False)
    return network.eval()
