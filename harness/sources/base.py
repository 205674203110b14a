"""What every model source is, and the one way in which weights are read."""

from __future__ import annotations

import hashlib
import pickle
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import SourceError
from harness.forms import Form
from harness.registry import Options, Registry

if TYPE_CHECKING:
    import torch

    from harness.forms import Encoder


class Source(Options):
    """The `model:` of a spec."""

    source: str
    form: ClassVar[Form] = Form.TORCH

    @property
    def gives(self) -> Form:
        """The form of the model that these options load; decided before anything is loaded."""
        return self.form

    def suited(self, task: str, head: str | None) -> Source:
        """These options with what they leave open as a task decides it; a spec is validated with what comes back.

        Args:
            task: its name.
            head: what a transformer ends in that does this task; None where the task does not say.

        Raises:
            ValueError: the task does not decide it.
        """
        return self

    @abstractmethod
    def load(self, root: Path) -> Any:
        """The float model, in evaluation mode, in the form `gives`.

        Raises:
            SourceError: the model cannot be built or its weights do not fit, with the way out.
        """

    def prepare(self, root: Path, progress: Callable[[str], None]) -> None:
        """Do once what makes the model loadable, and say so where it takes its time; nothing for most sources.

        Raises:
            SourceError: it cannot be done.
        """

    def encoder(self, root: Path) -> Encoder | None:
        """What makes the model's inputs of texts; None where its inputs are no texts."""
        return None

    def tokenizer(self, root: Path) -> str:
        """What decides the inputs that `encoder` makes; empty where there is none."""
        return ""

    def modules(self) -> tuple[str, ...]:
        """Dotted names of code that builds the model, beside the source's own; none for most sources."""
        return ()

    @abstractmethod
    def fingerprint(self, root: Path) -> str:
        """What outside the options decides the model: the bytes of weight files, code, package versions."""


SOURCES: Registry[Source] = Registry("sources", "source")

# What training puts before every name: DataParallel and averaging, torch.compile, Lightning.
WRAPPERS = ("module.", "_orig_mod.", "model.")


def digest_of(path: Path) -> str:
    """The sha256 of a file's bytes, or of a folder's files with their names.

    Raises:
        SourceError: nothing lies there.
    """
    if not path.exists():
        raise SourceError(f"no file at {path} (relative paths start at the directory that holds specs/)")
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            if part != path:
                digest.update(part.relative_to(path).as_posix().encode() + b"\0")
            with part.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def read_weights(path: Path, *, trust: bool = False) -> dict[str, torch.Tensor]:
    """A state dict from a ``.safetensors`` file or a ``torch.save`` file of tensors.

    A training checkpoint that holds the state dict under ``state_dict``, ``model_state_dict`` or ``model`` will do.

    Args:
        path: the file.
        trust: unpickle arbitrary objects. Unpickling runs code: only for files whose origin is known.

    Raises:
        SourceError: no such file, a damaged one, no state dict, or a pickle of more than tensors that is not trusted.
    """
    import torch

    if not path.is_file():
        raise SourceError(f"no weights at {path} (relative paths start at the directory that holds specs/)")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise SourceError(f"{path} is no readable safetensors file: {error}") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        # torch says what it met and then how to lift its guard; the way out is a safe file first.
        raise SourceError(
            f"{path} holds more than plain tensors{_refused(str(error))}, and unpickling that would run code from the "
            "file. Convert it to safetensors, or set `trust: true` beside `weights:` if you know where it comes from"
            if not trust
            else f"{path} is no readable torch.save file: {error}"
        ) from error
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise SourceError(f"{path} is no readable torch.save file ({type(error).__name__}: {first})") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), (dict, torch.nn.Module)):
            state = state[key]
    if isinstance(state, torch.nn.Module):
        return state.state_dict()
    if not isinstance(state, dict) or not state or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise SourceError(f"{path} holds no state dict (names to tensors): save `model.state_dict()`")
    return state


def fit_weights(model: torch.nn.Module, state: dict[str, torch.Tensor], origin: str) -> torch.nn.Module:
    """Load a state dict into an architecture, all of it, and return the model in evaluation mode.

    Wrapper prefixes (``module.`` of DataParallel and the like) are stripped where the rest then fits. What a file may
    leave out: one of two names for one tied tensor, and the counters of batches seen, which inference never reads.

    Raises:
        SourceError: names, shapes or kinds of number differ; the sentence names the first few of each.
    """
    own = model.state_dict()
    state = _completed(_unwrapped(dict(state), own), own)
    common = [name for name in own if name in state]
    faults = [
        f"{len(group)} {what} ({', '.join(group[:3])}{', …' if len(group) > 3 else ''})"
        for what, group in (
            ("missing", [name for name in own if name not in state]),
            ("unexpected", [name for name in state if name not in own]),
            (
                "of another shape",
                [
                    f"{name} is {tuple(state[name].shape)} in the file and {tuple(own[name].shape)} in the model"
                    for name in common
                    if state[name].shape != own[name].shape
                ],
            ),
            (
                # Copying int8 codes into a float parameter succeeds in silence and means nothing.
                "of another kind",
                [
                    f"{name} is {_dtype(state[name])} in the file and {_dtype(own[name])} in the model"
                    for name in common
                    if state[name].is_floating_point() != own[name].is_floating_point()
                ],
            ),
        )
        if group
    ]
    if faults:
        raise SourceError(f"{origin} does not fit the architecture: {'; '.join(faults)}")
    model.load_state_dict(state)
    return model.eval()


def _unwrapped(state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict without the prefixes of training wrappers, where it then shares names with the model."""
    bare = state
    while not any(name in own for name in bare):
        prefix = next((one for one in WRAPPERS if all(name.startswith(one) for name in bare)), None)
        if prefix is None:
            return state
        bare = {name.removeprefix(prefix): value for name, value in bare.items()}
    return bare


def _completed(state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict with what a file may leave out: counters, and the second names of tied tensors."""
    given = {_place(own[name]): value for name, value in state.items() if name in own and own[name].numel()}
    for name, value in own.items():
        if name in state:
            continue
        if name.endswith("num_batches_tracked"):
            state[name] = value
        elif _place(value) in given:
            state[name] = given[_place(value)]
    return state


def _place(tensor: torch.Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Equal for two names of one tied tensor, and for nothing else."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def uncut(numbers: Callable[[str], list[int]]) -> Encoder:
    """The encoder of a language model: texts as they are, padded to the longest with zeros that the mask hides.

    Args:
        numbers: the tokens of a text, with what stands before every text.
    """

    def encode(texts: Sequence[str]) -> tuple[torch.Tensor, ...]:
        import torch

        rows = [numbers(text) for text in texts]
        longest = max(len(row) for row in rows)
        tokens = torch.zeros((len(rows), longest), dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[place, : len(row)] = 1
        return tokens, mask

    return encode


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _refused(message: str) -> str:
    """The object that torch's safe unpickler met, as a parenthesis, or nothing where it does not say."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    return f" ({found.group(1)})" if found else ""
