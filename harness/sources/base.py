"""What every model source is, and the one way in which weights are read."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import SourceError
from harness.forms import Form
from harness.registry import Options, Registry

if TYPE_CHECKING:
    import torch


class Source(Options):
    """The `model:` of a spec."""

    source: str
    form: ClassVar[Form] = Form.TORCH

    @property
    def gives(self) -> Form:
        """The form of the model that these options load; decided before anything is loaded."""
        return self.form

    @abstractmethod
    def load(self, root: Path) -> Any:
        """The float model, in evaluation mode, in the form `gives`.

        Raises:
            SourceError: the model cannot be built or its weights do not fit, with the way out.
        """

    @abstractmethod
    def fingerprint(self, root: Path) -> str:
        """What outside the options decides the model: the bytes of weight files, code, package versions."""


SOURCES: Registry[Source] = Registry("sources", "source")


def digest_of(path: Path) -> str:
    """The sha256 of a file's bytes, or of a folder's files with their names.

    Raises:
        SourceError: nothing lies there.
    """
    if not path.exists():
        raise SourceError(f"no file at {path}")
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            if part != path:
                digest.update(part.relative_to(path).as_posix().encode())
            with part.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def read_weights(path: Path, *, trust: bool = False) -> dict[str, torch.Tensor]:
    """A state dict from a ``.safetensors`` file or a ``torch.save`` file of tensors.

    Args:
        path: the file.
        trust: unpickle arbitrary objects. Unpickling runs code: only for files whose origin is known.

    Raises:
        SourceError: no such file, not a state dict, or a pickle that holds more than tensors and is not trusted.
    """
    import torch

    if not path.is_file():
        raise SourceError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise SourceError(f"{path} is no readable safetensors file: {error}") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:
        raise SourceError(
            f"{path} does not load as plain tensors ({type(error).__name__}). Unpickling it would run code from the "
            "file; convert it to safetensors, or set `trust: true` beside `weights:` if you know where it comes from"
        ) from error
    if isinstance(state, torch.nn.Module):
        return state.state_dict()
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise SourceError(f"{path} holds no state dict (names to tensors)")
    return state


def fit_weights(model: torch.nn.Module, state: dict[str, torch.Tensor], origin: str) -> torch.nn.Module:
    """Load a state dict into an architecture, all of it, and return the model in evaluation mode.

    Raises:
        SourceError: names or shapes differ; the sentence names the first few of each.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(own[name].shape)} in the model"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(group)} {what} ({', '.join(group[:3])}{', …' if len(group) > 3 else ''})"
        for what, group in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if group
    ]
    if faults:
        raise SourceError(f"{origin} does not fit the architecture: {'; '.join(faults)}")
    model.load_state_dict(state)
    return model.eval()
