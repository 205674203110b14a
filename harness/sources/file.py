"""Source `file`: a state dict and the architecture that it fits, or an exported program."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import SourceError
from harness.extras import installed
from harness.forms import Form
from harness.sources.architecture import Scalar
from harness.sources.base import SOURCES, Source, digest_of
from harness.sources.python import FACTORY, Python
from harness.sources.timm import Timm
from harness.sources.torchvision import Torchvision

if TYPE_CHECKING:
    import torch


@SOURCES.register
class File(Source):
    """A model of your own, from one file: either `architecture:` with `weights:`, or `path:`."""

    source: Literal["file"] = "file"
    architecture: str | None = Field(
        default=None,
        pattern=f"^{FACTORY}$",
        description="what the weights fit: torchvision:NAME, timm:NAME, or module:callable of your own",
    )
    weights: str | None = Field(
        default=None, min_length=1, description="path of a state dict (safetensors, or torch.save)"
    )
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="arguments of the architecture, for example {num_classes: 10}"
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="path of an exported program (torch.export.save, .pt2); needs `trust: true`",
    )
    trust: bool = Field(default=False, description="load the file even if that runs code from it")

    @model_validator(mode="after")
    def _one_shape(self) -> File:
        if self.path is not None:
            beside = [name for name in ("architecture", "weights", "options") if getattr(self, name)]
            if beside:
                raise ValueError(
                    f"`path:` is a whole exported program and takes no `{beside[0]}:` beside it; for a state dict give "
                    "`architecture:` and `weights:` without `path:`"
                )
            if not self.trust:
                raise ValueError(
                    "an exported program cannot be loaded without running code from it (torch.export.load unpickles "
                    "parts of the file and evaluates expressions in it): set `trust: true` if you know where it comes "
                    "from, or give `architecture:` and `weights:` instead"
                )
        elif self.architecture is None or self.weights is None:
            lacking = " and ".join(f"`{name}:`" for name in ("architecture", "weights") if getattr(self, name) is None)
            raise ValueError(
                f"needs {lacking}: give `architecture:` and `weights:` for a state dict, or `path:` for an exported "
                "program"
            )
        else:
            try:
                published = self.delegate.published
            except ValidationError as error:
                raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from error
            if published:
                library = self.architecture.partition(":")[0]
                raise ValueError(f"`weights: {published}` names no file; published weights are for `source: {library}`")
        return self

    @property
    def delegate(self) -> Torchvision | Timm | Python:
        """The source that knows the library of `architecture`."""
        architecture, weights = self.architecture or "", self.weights or ""
        library, _, name = architecture.partition(":")
        if library == "torchvision":
            return Torchvision(name=name, weights=weights, options=self.options, trust=self.trust)
        if library == "timm":
            return Timm(name=name, weights=weights, options=self.options, trust=self.trust)
        return Python(factory=architecture, arguments=dict(self.options), weights=weights, trust=self.trust)

    @property
    def gives(self) -> Form:
        """An exported program for `path`, else a torch module."""
        return Form.TORCH if self.path is None else Form.EXPORTED

    def load(self, root: Path) -> torch.nn.Module | torch.export.ExportedProgram:
        """The float model, in evaluation mode."""
        if self.path is not None:
            return _exported(root / self.path)
        return self.delegate.load(root)

    def fingerprint(self, root: Path) -> str:
        """The file's bytes, and what decides its architecture."""
        if self.path is not None:
            return f"torch {installed('torch')}, {digest_of(root / self.path)}"
        return self.delegate.fingerprint(root)


def _exported(path: Path) -> torch.export.ExportedProgram:
    import torch

    if not path.is_file():
        raise SourceError(f"no exported program at {path}")
    _demand_pt2(path)
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise SourceError(
            f"{path} cannot be loaded by torch {torch.__version__}: {type(error).__name__}: {error}. Export it again "
            "with this version"
        ) from error
    training = _training_operator(program)
    if training:
        raise SourceError(f"{path} was exported in training mode ({training}): call .eval() before torch.export.export")
    fixed = _fixed_batch(program)
    if fixed is not None:
        raise SourceError(
            f"{path} was exported for batches of exactly {fixed}: export it with "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)'
        )
    return program


def _demand_pt2(path: Path) -> None:
    """A zip archive whose one folder holds ``archive_format`` with the text "pt2", and one model graph."""
    way_out = "save it with torch.export.save, or give `architecture:` and `weights:` for a state dict"
    if not zipfile.is_zipfile(path):
        raise SourceError(f"{path} is no exported program, and not even a zip archive: {way_out}")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        marks = [name for name in names if name.count("/") <= 1 and name.rpartition("/")[2] == "archive_format"]
        if not marks or archive.read(marks[0]) != b"pt2":
            kind = (
                "a TorchScript program" if any(name.endswith("/constants.pkl") for name in names) else "something else"
            )
            raise SourceError(f"{path} is a zip archive, but no exported program ({kind}): {way_out}")
        if not any(name.endswith("models/model.json") for name in names):
            raise SourceError(f"{path} holds no program called 'model' (a compiled package?): {way_out}")


def _training_operator(program: torch.export.ExportedProgram) -> str | None:
    """An operator of the graph that is told to train, or None."""
    for node in program.graph.nodes:
        for value, argument in zip(
            node.args, getattr(getattr(node.target, "_schema", None), "arguments", ()), strict=False
        ):
            if argument.name in ("training", "train") and value is True:
                return str(node.target)
    return None


def _fixed_batch(program: torch.export.ExportedProgram) -> int | None:
    """The batch size that the first input is bound to, or None where it is free."""
    names = set(program.graph_signature.user_inputs)
    inputs: list[Any] = [node.meta.get("val") for node in program.graph.nodes if node.name in names]
    first = next((one for one in inputs if hasattr(one, "shape") and one.dim()), None)
    return first.shape[0] if first is not None and isinstance(first.shape[0], int) else None
