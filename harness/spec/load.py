"""A spec file → its cases: stems merged, cases applied, everything validated, every fault located."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import Problem, SpecError, closest
from harness.spec import semantics
from harness.spec.faults import Fault, explain
from harness.spec.files import SUFFIXES, id_of, root_of, shown
from harness.spec.placement import Placed, place
from harness.spec.reader import Document, Location, Value, read, shorten
from harness.spec.schema import FILE_KEYS, LABEL, Spec

_CASE = re.compile(LABEL)


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


def load(path: Path) -> SpecFile:
    """Load one spec file.

    Raises:
        SpecError: with every fault found, each at its file, line and column. Nothing else: whatever is wrong with one
            file, and be it an error in a part of somebody's, the others are still to be loaded.
    """
    try:
        return _load(path)
    except SpecError:
        raise
    except Exception as error:
        text = f"cannot be loaded: {type(error).__name__}: {error}"
        raise SpecError([Problem(shown(path, root_of(path)), 1, 1, "", text)]) from error


def _load(path: Path) -> SpecFile:
    resolved = path.resolve()
    root = root_of(resolved)
    layers = _stack(resolved, root)
    _refuse_foreign(layers[0])
    merged = _body(layers[-1])
    for layer in reversed(layers[:-1]):
        merged = merge(merged, _body(layer))
    overrides = _named_cases(merged.pop("cases"), layers) if "cases" in merged else {"": {}}
    loaded: list[Case] = []
    found: dict[str, list[Placed]] = {}
    for name, changes in overrides.items():
        spec, faults = _validated(merge(merged, changes) if changes else merged, root)
        found[name] = [_placed(layers, name, fault) for fault in faults]
        if spec is not None:
            loaded.append(Case(name, spec))
    if any(found.values()):
        raise SpecError(_told(found))
    return SpecFile(path, root, id_of(resolved, root), tuple(loaded))


def _refuse_foreign(document: Document) -> None:
    """A file with nothing of a spec in it was not meant as one, and is told so instead of all that it lacks."""
    keys = [key for key in document.value if key != "version"]
    if document.value.get("version") == 1 or any(key in Spec.model_fields or key in FILE_KEYS for key in keys):
        return
    mark = document.node.start_mark
    what = (
        f"; it has {', '.join(f'`{key[:40]}`' for key in keys[:3])}{' and others' if len(keys) > 3 else ''}"
        if keys
        else ""
    )
    name = Path(document.shown).name
    message = (
        f"is no spec: it has none of a spec's keys{what}. Every YAML file below specs/ is taken for one: move it out "
        f"of there, or name it _{name}, which is left alone"
    )
    raise SpecError([Problem(document.shown, mark.line + 1, mark.column + 1, "", message)])


def _body(document: Document) -> dict[str, Value]:
    return {key: value for key, value in document.value.items() if key != "extends"}


def _named_cases(cases: Value, layers: list[Document]) -> dict[str, dict[str, Value]]:
    problems: list[Problem] = []

    def fault(at: Location, message: str, *, on_key: bool = True) -> None:
        problems.append(place(layers, "", at, message, on_key=on_key).problem)

    named: dict[str, dict[str, Value]] = {}
    if not isinstance(cases, dict) or not cases:
        message = f"found {shorten(cases)}; a mapping of case names to what each changes is expected"
        fault(("cases",), message, on_key=False)
    else:
        for name, changes in cases.items():
            if not _CASE.fullmatch(name):
                fault(
                    ("cases", name),
                    f"the case name {name!r} may hold letters, digits, `_`, `-` and `.`, and starts with a letter or "
                    "digit",
                )
            if changes is not None and not isinstance(changes, dict):
                message = f"found {shorten(changes)}; a mapping of what this case changes is expected"
                fault(("cases", name), message, on_key=False)
                continue
            for key in ("cases", "extends", "version"):
                if changes and key in changes:
                    fault(("cases", name, key), f"{key!r} belongs to the file and not to a case")
            named[name] = changes or {}
    if problems:
        raise SpecError(problems)
    return named


def _validated(value: dict[str, Value], root: Path) -> tuple[Spec | None, list[Fault]]:
    try:
        spec = Spec.model_validate(value)
    except ValidationError as error:
        faults = explain(error, value)
        # What is well-formed may still mean nothing: tell both in one go.
        rest = _without(value, faults)
        if rest is not None:
            with suppress(ValidationError):
                faults += semantics.faults(Spec.model_validate(rest), root)
        return None, faults
    return spec, list(semantics.faults(spec, root))


def _without(value: dict[str, Value], faults: Sequence[Fault]) -> dict[str, Value] | None:
    """The spec less its unknown keys and its malformed budgets, or None where other parts are malformed too.

    Without a budget nobody knows what an expected failure names: `expect_fail` goes with it.
    """
    rest = copy.deepcopy(value)
    for fault in faults:
        at = fault.location
        if at[:1] == ("budgets",) and len(at) > 1:
            at = at[:2]
        elif not fault.unknown_key:
            return None
        within: Any = rest
        for step in at[:-1]:
            within = within[step]
        within.pop(at[-1], None)
    if any(fault.location[:1] == ("budgets",) and len(fault.location) > 1 for fault in faults):
        rest.pop("expect_fail", None)
    return rest


def _placed(layers: list[Document], case: str, fault: Fault) -> Placed:
    placed = place(layers, case, fault.location, fault.message, on_key=fault.on_key)
    if placed.inherited and fault.unknown_key:
        problem = placed.problem
        message = f"{fault.message}; maps merge, and `{fault.location[-1]}: null` would take the key away again"
        placed = replace(placed, problem=replace(problem, message=message))
    return placed


def _told(found: Mapping[str, Sequence[Placed]]) -> list[Problem]:
    """Every problem once; one outside the cases that only some of them meet says which."""
    cases: dict[Problem, list[str]] = {}
    inside: set[Problem] = set()
    for name, some in found.items():
        for placed in some:
            cases.setdefault(placed.problem, []).append(name)
            if placed.in_case:
                inside.add(placed.problem)
    return [
        problem
        if problem in inside or len(names) == len(found)
        else replace(problem, message=f"{problem.message} (in case {', '.join(names)})")
        for problem, names in cases.items()
    ]


def merge(base: dict[str, Value], over: dict[str, Value]) -> dict[str, Value]:
    """Maps merge, null takes a key away that is there, anything else replaces.

    Unlike in a JSON merge patch, a null stays where there is nothing to take away: it is the value of an option that
    may be null, a case that changes nothing, and in the place of anything else a fault, so that a misspelt key is told.

    Args:
        base: what the stem or the file says.
        over: what the file or the case says.

    Returns:
        A new mapping; neither operand changes.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = merge(below, value)
        elif value is None and key in merged:
            del merged[key]
        else:
            merged[key] = value
    return merged


def _stack(path: Path, root: Path) -> list[Document]:
    """The file and every stem that it extends, nearest first."""
    layers: list[Document] = [read(path, shown(path, root))]
    seen = [path]
    while "extends" in layers[-1].value:
        stem = layers[-1].value["extends"]
        if not isinstance(stem, str) or not stem:
            message = f"found {shorten(stem)}; the name of a file, relative to this file, is expected"
            raise SpecError([_extending(layers, message)])
        at = (seen[-1].parent / stem).resolve()
        if at in seen:
            chain = " → ".join(shown(one, root) for one in (*seen[seen.index(at) :], at))
            raise SpecError([_extending(layers, f"a spec cannot extend itself: {chain}")])
        if not at.is_file():
            around = sorted(one.name for one in at.parent.glob("*") if one.suffix in SUFFIXES and one != path)
            near = closest(at.name, [name for name in around if name.startswith("_")] or around)
            hint = f". Did you mean {(Path(stem).parent / near).as_posix()!r}?" if near else ""
            raise SpecError([_extending(layers, f"there is no file {shown(at, root)}{hint}")])
        layers.append(_stem(at, shown(at, root), at.stat().st_mtime_ns))
        seen.append(at)
    return layers


def _extending(layers: list[Document], message: str) -> Problem:
    return place(layers[-1:], "", ("extends",), message, on_key=False).problem


# Read once, however many specs extend it.
@lru_cache(maxsize=256)
def _stem(path: Path, name: str, modified: int) -> Document:
    return read(path, name)
