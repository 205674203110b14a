"""A model that was compressed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.artifacts.exported import exported_files
from harness.artifacts.torchscript_archive import read
from harness.errors import ArtifactError, MethodError, SourceError
from harness.forms import Form, Returned, Subject, choices
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.sources.base import digest_of
from harness.sources.file import File

FORMS: Mapping[str, Form] = {
    ".pt": Form.TORCHSCRIPT,
    ".ts": Form.TORCHSCRIPT,
    ".pt2": Form.EXPORTED,
    ".xml": Form.OPENVINO,
    ".packed": Form.PACKED,
}


@METHODS.register
class Given(Method):
    """Gate an artifact that somebody else made: the model is what lies at `path`, and nothing is done to it.

    A TorchScript or packed file is gated byte for byte; the other kinds are written again by the runtime. A folder is
    one that `--export` wrote: its files must have the sha256 that its manifest gives them.
    """

    method: Literal["given"] = "given"
    also: ClassVar[Mapping[str, str]] = {"external": "", "precompressed": "", "pre-compressed": ""}
    forms: ClassVar[Mapping[Form, Form]] = {form: form for form in FORMS.values()}
    path: str = Field(
        description="a TorchScript .pt or .ts, an exported program .pt2, an OpenVINO .xml beside its .bin, a "
        ".packed file, or a folder that `--export` wrote (with a `/` at its end where its name has a dot)"
    )
    trust: bool = Field(default=False, description="load an exported program even if that runs code from the file")

    @model_validator(mode="after")
    def _known(self) -> Given:
        suffix = Path(self.path).suffix
        if not self._folder and suffix not in FORMS:
            raise ValueError(
                f"{self.path!r} ends in none of {', '.join(FORMS)}, so what it holds is not known; a folder that "
                "`--export` wrote ends in `/`"
            )
        if not self._folder and FORMS[suffix] is Form.EXPORTED and not self.trust:
            raise ValueError(
                "an exported program cannot be loaded without unpickling parts of it: set `trust: true` if you know "
                "where it comes from, or give a TorchScript program"
            )
        return self

    @property
    def _folder(self) -> bool:
        return self.path.endswith("/") or not Path(self.path).suffix

    @property
    def transitions(self) -> Mapping[Form, Returned]:
        """Whatever the float model is, what comes out is what the file holds.

        What lies in a folder is not looked at before it is needed: it is taken for what the runtime can save, which is
        a TorchScript program or a packed file, or an OpenVINO graph where the float model has become one.
        """
        if self._folder:
            return {form: Form.OPENVINO if form is Form.OPENVINO else (Form.TORCHSCRIPT, Form.PACKED) for form in Form}
        return dict.fromkeys(Form, FORMS[Path(self.path).suffix])

    @property
    def undoes(self) -> frozenset[Trait]:
        """Everything: the model that came is not looked at."""
        return frozenset(Trait)

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Read the file."""
        path = workshop.root / self.path
        if self._folder:
            path = self._exported(path, choices(self.transitions[subject.form]))
        form = FORMS[path.suffix]
        if not path.is_file():
            raise MethodError(f"given: no file at {path}")
        readers: dict[Form, Callable[[Path], Any]] = {
            Form.TORCHSCRIPT: read,
            Form.EXPORTED: lambda path: File(path=str(path), trust=self.trust).load(workshop.root),
            Form.OPENVINO: _openvino,
            Form.PACKED: _packed,
        }
        try:
            return replace(subject, form=form, model=readers[form](path))
        except (ArtifactError, SourceError, RuntimeError) as error:
            raise MethodError(f"given: {error}") from error

    def _exported(self, folder: Path, forms: tuple[Form, ...]) -> Path:
        """The one file of the folder that a model of one of these forms is read from."""
        try:
            files = exported_files(folder)
        except ArtifactError as error:
            raise MethodError(f"given: {error}") from error
        found = [path for path in files if FORMS.get(path.suffix) in forms]
        if len(found) != 1:
            names = ", ".join(path.name for path in files)
            raise MethodError(
                f"given: {folder} holds {names}, where the spec's runtime takes one {' or '.join(forms)}: see `deploy:`"
            )
        return found[0]

    def fingerprint(self, root: Path) -> str:
        """The bytes of the file, and of the weights beside an OpenVINO graph."""
        path = root / self.path
        if self._folder:
            try:
                return "".join(digest_of(part) for part in exported_files(path))
            except ArtifactError as error:
                raise MethodError(f"given: {error}") from error
        weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []
        return "".join(digest_of(part) for part in (path, *weights))


def _packed(path: Path) -> object:
    from harness.runtimes.packed import program

    return program(path)


def _openvino(path: Path) -> object:
    from harness.artifacts.openvino import import_openvino

    return import_openvino().Core().read_model(path)
