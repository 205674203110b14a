"""Which files are specs, where they belong, and what they and their cases are called. Reads none of them."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path, PurePath, PurePosixPath

SUFFIXES = (".yaml", ".yml")
# Below this folder stand the specs that the gate must refuse.
MUST_FAIL = "must-fail"
# Folders that pytest does not look into, where a project sets no `norecursedirs` of its own.
UNVISITED = ("*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}", "__pycache__")
# Nor does it look into a virtual environment, which it knows by these.
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta/history")


def is_stem(path: PurePath) -> bool:
    """Whether a file is there to be extended; as a spec it is taken only where it is named."""
    return path.name.startswith("_")


def collected(files: Collection[str]) -> list[str]:
    """The specs that a run collects without being told a name, in the order of their names.

    This is what `gate.discovery` and pytest's own defaults come to, for whatever looks at specs without pytest.

    Args:
        files: every file of a project below `specs/`, as paths from the project root with forward slashes.
    """
    environments = {
        path.removesuffix(f"/{mark}") for path in files for mark in _ENVIRONMENT if path.endswith(f"/{mark}")
    }
    return [path for path in sorted(files) if _collected(PurePosixPath(path), environments)]


def _collected(path: PurePosixPath, environments: Collection[str]) -> bool:
    if path.parts[0] != "specs" or path.suffix not in SUFFIXES or is_stem(path):
        return False
    folders = [folder for folder in path.parents if "specs" in folder.parts[:-1]]
    return not any(
        folder.name == MUST_FAIL
        or folder.as_posix() in environments
        or any(fnmatch(folder.name, pattern) for pattern in UNVISITED)
        for folder in folders
    )


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
