"""Which files are specs, where they belong, and what they and their cases are called. Reads none of them."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".yaml", ".yml")
# Below this folder stand the specs that the gate must refuse.
MUST_FAIL = "must-fail"


def root_of(path: Path) -> Path:
    """The project root of a spec file: the directory that holds the `specs/` it lies in.

    A file outside any `specs/` belongs to the nearest directory above it that has one, else to its own directory.
    """
    parents = path.resolve().parents
    for parent in parents:
        if parent.name == "specs":
            return parent.parent
    return next((parent for parent in parents if (parent / "specs").is_dir()), parents[0])


def id_of(path: Path, root: Path) -> str:
    """The path of a spec below `specs/`, without its suffix."""
    path, specs = path.resolve(), root / "specs"
    return (path.relative_to(specs) if path.is_relative_to(specs) else Path(path.name)).with_suffix("").as_posix()


def with_case(name: str, case: str) -> str:
    """The name of a spec, or of a budget, and in brackets the case where the file has cases."""
    return f"{name}[{case}]" if case else name


def shown(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the project root where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
