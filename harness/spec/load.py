"""A spec file → its cases: stems merged, cases applied, everything validated, every fault located."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from harness.errors import Problem, SpecError, closest
from harness.spec import faults, semantics
from harness.spec.reader import Document, Location, Value, dotted, read, shorten
from harness.spec.schema import Spec

SUFFIXES = (".yaml", ".yml")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Case:
    """One spec to run; `name` is empty where the file has no `cases:`."""

    name: str
    spec: Spec


@dataclass(frozen=True)
class SpecFile:
    """One YAML file, loaded.

    Attributes:
        path: absolute.
        root: the project root: the directory that holds `specs/`.
        id: the path below `specs/` without its suffix, for example ``image-classification/mobilenetv2-int8``.
        cases: at least one.
    """

    path: Path
    root: Path
    id: str
    cases: tuple[Case, ...]


def root_of(path: Path) -> Path:
    """The project root of a spec file: the directory that holds the `specs/` it lies in.

    A file outside any `specs/` belongs to the nearest directory above it that has one, else to its own directory.
    """
    path = path.resolve()
    for parent in path.parents:
        if parent.name == "specs":
            return parent.parent
    return next((parent for parent in path.parents if (parent / "specs").is_dir()), path.parent)


def id_of(path: Path, root: Path) -> str:
    """The path of a spec below `specs/`, without its suffix."""
    path = path.resolve()
    specs = root / "specs"
    return (path.relative_to(specs) if path.is_relative_to(specs) else Path(path.name)).with_suffix("").as_posix()


def load(path: Path) -> SpecFile:
    """Load one spec file.

    Raises:
        SpecError: with every fault found, each at its file, line and column.
    """
    root = root_of(path)
    layers = _stack(path.resolve(), root)
    merged: dict[str, Value] = {}
    for layer in reversed(layers):
        merged = _merge(merged, {key: value for key, value in layer.value.items() if key != "extends"})
    cases = merged.pop("cases", None)
    identity = id_of(path, root)
    if cases is None:
        return SpecFile(path, root, identity, (Case("", _validate(merged, layers, ())),))
    loaded: list[Case] = []
    problems: list[Problem] = []
    for name, overrides in _named_cases(cases, layers).items():
        try:
            spec = _validate(_merge(merged, overrides), layers, ("cases", name))
            loaded.append(Case(name, spec))
        except SpecError as error:
            problems.extend(error.problems)
    if problems:
        raise SpecError(dict.fromkeys(problems))
    return SpecFile(path, root, identity, tuple(loaded))


def _named_cases(cases: Value, layers: list[Document]) -> dict[str, dict[str, Value]]:
    if not isinstance(cases, dict) or not cases:
        raise SpecError([_problem(layers, ("cases",), f"found {shorten(cases)}; a mapping of case names to overrides")])
    named: dict[str, dict[str, Value]] = {}
    for name, overrides in cases.items():
        at: Location = ("cases", name)
        if not _CASE.fullmatch(name):
            raise SpecError([_problem(layers, at, f"the case name {name!r} may hold letters, digits, `_`, `-` and `.`")])
        if overrides is not None and not isinstance(overrides, dict):
            raise SpecError([_problem(layers, at, f"found {shorten(overrides)}; a mapping of overrides")])
        for key in ("cases", "extends", "version"):
            if overrides and key in overrides:
                raise SpecError([_problem(layers, (*at, key), f"{key!r} belongs to the file and not to a case")])
        named[name] = overrides or {}
    return named


def _validate(value: dict[str, Value], layers: list[Document], case: Location) -> Spec:
    try:
        spec = Spec.model_validate(value)
    except ValidationError as error:
        problems = []
        for details in error.errors(include_url=False):
            at = faults.located(details, value)
            message = faults.sentence(details)
            if details["type"] == "extra_forbidden" and not at[:-1]:
                message = _with_file_keys(str(at[-1]))
            problems.append(_problem(layers, at, message, case))
        raise SpecError(problems) from None
    found = [_problem(layers, fault.location, fault.message, case) for fault in semantics.faults(spec)]
    if found:
        raise SpecError(found)
    return spec


def _with_file_keys(name: str) -> str:
    allowed = sorted((*Spec.model_fields, "cases", "extends"))
    near = closest(name, allowed)
    return f"unknown key {name!r}; allowed: {', '.join(allowed)}" + (f". Did you mean {near!r}?" if near else "")


def _problem(layers: list[Document], at: Location, message: str, case: Location = ()) -> Problem:
    """Place a fault: in the case where the case says it, else in the nearest file that does, else at its parent."""
    for depth in range(len(at), -1, -1):
        for prefix in (case, ()) if case else ((),):
            for layer in layers:
                location = (*prefix, *at[:depth])
                node = layer.find_key(location) if depth == len(at) and depth else layer.find(location)
                if node is not None:
                    # A whole value is named by its key; a list item by itself.
                    mark = node.start_mark
                    return Problem(layer.shown, mark.line + 1, mark.column + 1, dotted(at), message)
    return Problem(layers[0].shown, 1, 1, dotted(at), message)


def _merge(base: dict[str, Value], over: dict[str, Value]) -> dict[str, Value]:
    """Maps merge, lists and plain values replace."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _stack(path: Path, root: Path) -> list[Document]:
    """The file and every stem that it extends, nearest first."""
    layers: list[Document] = []
    seen: list[Path] = []
    at: Path | None = path
    while at is not None:
        if at in seen:
            chain = " → ".join(one.name for one in (*seen, at))
            raise SpecError([_problem(layers, ("extends",), f"{chain}: a spec cannot extend itself")])
        seen.append(at)
        if layers and not at.is_file():
            stems = sorted(one.name for one in at.parent.glob("_*.y*ml")) if at.parent.is_dir() else []
            near = closest(at.name, stems)
            hint = f" Did you mean {near!r}?" if near else ""
            raise SpecError([_problem(layers, ("extends",), f"no file at {shown(at, root)}.{hint}")])
        layers.append(_read(at, shown(at, root)) if layers else read(at, shown(at, root)))
        stem = layers[-1].value.get("extends")
        if stem is not None and not isinstance(stem, str):
            raise SpecError([_problem(layers[-1:], ("extends",), f"found {shorten(stem)}; a file name relative to this file")])
        at = (at.parent / stem).resolve() if stem is not None else None
    return layers


def shown(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the project root where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _read(path: Path, name: str) -> Document:
    """A stem, read once however many specs extend it."""
    return _cached(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _cached(path: Path, name: str, modified: int) -> Document:
    return read(path, name)


__all__ = ["SUFFIXES", "Case", "SpecFile", "id_of", "load", "root_of", "shown"]
