"""Which files are specs, where they belong, and what they and their cases are called. Reads none of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePath, PurePosixPath

from harness.errors import Problem, SpecError

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

    This is what `gate.discovery` and pytest's own defaults come to, for whatever looks at specs without pytest; `below`
    says it of a folder that is named.

    Args:
        files: every file of a project below `specs/`, as paths from the project root with forward slashes.
    """
    environments = {
        path.removesuffix(f"/{mark}") for path in files for mark in _ENVIRONMENT if path.endswith(f"/{mark}")
    }
    specs = [path for path in map(PurePosixPath, sorted(files)) if path.suffix in SUFFIXES]
    return [path.as_posix() for path in specs if reached(path, environments)]


def reached(path: PurePosixPath, environments: Collection[str] = ()) -> bool:
    """Whether a run that is told no names looks at a place, for a spec or, where it has no suffix, for a folder.

    Args:
        path: from the project root.
        environments: folders that are virtual environments.
    """
    if path.parts[0] != "specs" or not sought(path):
        return False
    folders = [folder for folder in path.parents if "specs" in folder.parts[:-1]]
    return not any(
        folder.name == MUST_FAIL or folder.as_posix() in environments or _unvisited(folder) for folder in folders
    )


def _unvisited(folder: PurePath, patterns: Collection[str] = UNVISITED) -> bool:
    return any(fnmatch(folder.name, pattern) for pattern in patterns)


def sought(path: PurePath, unvisited: Collection[str] = UNVISITED) -> bool:
    """Whether a run looks behind a name: it is that of a spec or, without a suffix, of a folder that it enters.

    Args:
        path: of which the name counts; where it lies is another question.
        unvisited: patterns of folders that pytest does not look into.
    """
    if path.suffix in SUFFIXES:
        return not is_stem(path)
    return not path.suffix and path.name != MUST_FAIL and not _unvisited(path, unvisited)


def leads_nowhere(path: Path) -> bool:
    """Whether a path is a link behind which nothing is, or nothing that can be reached."""
    return os.path.islink(path) and not os.path.exists(path)


def below(path: Path) -> tuple[list[Path], dict[Path, list[Path]]]:
    """What `pytest PATH` collects as specs: a file itself, or what a run finds below a folder.

    Returns:
        The specs in the order of their names; and by folder below `specs/` that pytest does not look into, what would
        be specs elsewhere. Both are empty where nothing is there.
    """
    if path.is_file():
        return [path], {}
    found: list[Path] = []
    hidden: dict[Path, list[Path]] = {}
    here = Path.cwd()
    # What is passed over above any `specs/` has none: the YAML of a virtual environment is nobody's spec.
    apart = files_below(path, lambda folder: _passed_over(folder) and "specs" not in folders_of(folder, here))
    for one in sorted(apart):
        if one.suffix not in SUFFIXES or is_stem(one) or "specs" not in folders_of(one, here) or not one.is_file():
            continue
        folders = _between(one, path)
        if any(folder.name == MUST_FAIL for folder in folders):
            continue
        outermost = next((folder for folder in reversed(folders) if _passed_over(folder)), None)
        if outermost is None:
            found.append(one)
        else:
            hidden.setdefault(outermost, []).append(one)
    return found, hidden


def lost_below(path: Path) -> list[Path]:
    """Links below a folder that lead nowhere, and behind which `pytest PATH` would find specs; in the order of names.

    pytest passes them over in silence, so that nobody would miss what they should gate.
    """
    here = Path.cwd()
    return [
        one
        for one in sorted(files_below(path, _passed_over))
        if sought(one)
        and leads_nowhere(one)
        and "specs" in (one.name, *folders_of(one, here))
        and not any(folder.name == MUST_FAIL for folder in _between(one, path))
    ]


def _passed_over(folder: Path) -> bool:
    return _unvisited(folder) or any((folder / mark).is_file() for mark in _ENVIRONMENT)


def _between(path: Path, start: Path) -> list[Path]:
    """The folders that a path lies in, below the one that a walk began at."""
    return [folder for folder in path.parents if folder != start and folder.is_relative_to(start)]


def nothing_below(path: Path) -> str:
    """Why `below` finds no spec there."""
    if leads_nowhere(path):
        return f"{path} {nowhere(path).problems[0].message}"
    if not path.is_dir():
        return f"{path} {'holds no spec' if path.exists() else 'does not exist'}"
    if any(one.suffix in SUFFIXES for one in path.iterdir()):
        return (
            f"{path} holds no spec that a run collects: of a folder it takes the YAML below a specs/, stems (_*.yaml) "
            "apart; name the files themselves"
        )
    return f"{path} holds no spec"


def files_below(folder: Path, left: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """Every file below a folder; links are followed, as pytest does, but not back to where the walk comes from.

    Args:
        folder: where the walk begins.
        left: folders that are not entered.
    """
    for at, folders, names in os.walk(folder, followlinks=True):
        inside = [Path(at, name) for name in folders]
        folders[:] = [one.name for one in inside if not _leads_back(one, folder) and not left(one)]
        yield from (Path(at, name) for name in names)


def _leads_back(path: Path, start: Path) -> bool:
    if not path.is_symlink():
        return False
    home = path.resolve()
    way = [one for one in path.parents if one == start or one.is_relative_to(start)]
    return any(one.resolve().is_relative_to(home) for one in way)


def folders_of(path: Path, root: Path) -> list[str]:
    """Names of the folders that a file lies in.

    Those above a project do not count: one that was checked out below somebody's `specs/` is not all specs. A run that
    was started inside of a project's `specs/` has them above it.

    Args:
        path: of the file.
        root: absolute; where the run was started, or pytest's own root.
    """
    path = Path(os.path.abspath(path))
    if path.is_relative_to(root):
        inside = [part.name for part in path.relative_to(root).parents]
        if "specs" in inside or (root / "specs").is_dir():
            return inside
    return [part.name for part in path.parents]


def home_of(path: Path) -> Path:
    """A path with every link in it followed; a link that leads nowhere, be it in a circle, is where it lies itself."""
    if leads_nowhere(path):
        return Path(os.path.realpath(path.parent), path.name)
    return Path(os.path.realpath(path))


def root_of(path: Path) -> Path:
    """The project root of a spec file: the directory that holds the `specs/` it lies in.

    A file outside any `specs/` belongs to the nearest directory above it that has one, else to its own directory.
    """
    parents = home_of(path).parents
    for parent in parents:
        if parent.name == "specs":
            return parent.parent
    return next((parent for parent in parents if (parent / "specs").is_dir()), parents[0])


def id_of(path: Path, root: Path) -> str:
    """The path of a spec below `specs/`, without its suffix."""
    path, specs = home_of(path), root / "specs"
    below = path.is_relative_to(specs) and path != specs
    return (path.relative_to(specs) if below else Path(path.name)).with_suffix("").as_posix()


def twin_of(path: Path) -> Path | None:
    """The file below `specs/` that has the id of this one and comes before it; None where there is none."""
    home = home_of(path)
    root = root_of(home)
    name = id_of(home, root)
    for other in (root / "specs" / f"{name}{suffix}" for suffix in SUFFIXES):
        if other == home or home_of(other) == home:
            return None
        if other.is_file():
            return other
    return None


def twofold(path: Path, other: Path) -> SpecError:
    """Why a file is refused that has the id of another one."""
    home = home_of(path)
    root = root_of(home)
    message = (
        f"shares its id, {id_of(home, root)}, with {shown(other, root)}, and so its baseline, its place in the report "
        "and its export: rename one of them"
    )
    return SpecError([Problem(shown(home, root), 1, 1, "", message)])


def nowhere(path: Path) -> SpecError:
    """Why a link is refused that leads nowhere."""
    home = home_of(path)
    message = (
        f"is a link to {os.readlink(path)}, where nothing is, and what it should gate does not run: bring what it "
        "leads to, as by `git submodule update --init`, or remove the link"
    )
    return SpecError([Problem(shown(home, root_of(home)), 1, 1, "", message)])


def with_case(name: str, case: str) -> str:
    """The name of a spec, or of a budget, and in brackets the case where the file has cases."""
    return f"{name}[{case}]" if case else name


def shown(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the project root where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
