"""What code a part or a factory consists of, found and hashed without importing any of it.

Finding a module below a package the way Python does would import the package; so a file is looked for where its name
says, below the folders of its top-level package.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from pathlib import Path

from harness.errors import SourceError


@functools.cache
def code_digest(*modules: str) -> str:
    """The sha256 over the sources of these modules and of all that they import of their own top-level packages.

    Imports inside functions count too. What cannot be found or is not Python code is left out: it has a version.
    """
    pending, sources = list(modules), dict[str, bytes]()
    while pending:
        name = pending.pop()
        path = None if name in sources else _file(name)
        if path is None:
            continue
        sources[name] = path.read_bytes()
        package = f"{name.partition('.')[0]}."
        pending += [one for one in _imports(path, name) if f"{one}.".startswith(package)]
    return _digest((name, sources[name]) for name in sorted(sources))


def package_digest(module: str, root: Path) -> str:
    """The sha256 of a module's whole top-level package and of whatever it imports of the project, names and bytes.

    Of the project's packages all files count, for a package may read its own data, and the versions of the libraries
    that they import; of an installed package its ``.py`` files do.

    Args:
        module: dotted name.
        root: the project's; what lies directly below it comes before what is installed.

    Raises:
        SourceError: no such module.
    """
    files = list(_package_files(module.partition(".")[0], root))
    libraries = _libraries([path for _, path in files]) if _own(module.partition(".")[0], root) else {}
    versions = ((name, version.encode()) for name, version in sorted(libraries.items()))
    return _digest([*((label, path.read_bytes()) for label, path in files), *versions])


def file_below(module: str, folder: Path) -> Path | None:
    """The file that an import of `module` executes where it lies below `folder`, else None."""
    path = folder.joinpath(*module.split("."))
    return next((one for one in (path / "__init__.py", path.with_name(f"{path.name}.py")) if one.is_file()), None)


def _digest(named: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in named:
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


@functools.cache
def _file(module: str) -> Path | None:
    """The source of a module that can be imported; None where there is none."""
    top, _, below = module.partition(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return next((path for folder in folders if (path := file_below(below, folder)) is not None), None)


def _spec(top: str) -> ModuleSpec | None:
    """Where a top-level module or package lies; of a name without a dot nothing is imported to find that out."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _package_files(top: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Every file with the name that it is hashed under."""
    if not _own(top, root):
        yield from _installed(top, root)
        return
    waiting, seen = [top], {top}
    while waiting:
        for path in _own(waiting.pop(0), root):
            yield path.relative_to(root).as_posix(), path
            for name in sorted({one.partition(".")[0] for one in _imports(path)}):
                if name not in seen and _own(name, root):
                    seen.add(name)
                    waiting.append(name)


def _libraries(paths: Iterable[Path]) -> dict[str, str]:
    """Distribution → version, of whatever files import of installed packages."""
    names = {one.partition(".")[0] for path in paths for one in _imports(path)}
    installed = _distributions()
    return {one: version(one) for name in names for one in installed.get(name, ())}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _own(top: str, root: Path) -> list[Path]:
    """The files of a top-level module or package that lies directly below `root`."""
    package, module = root / top, root / f"{top}.py"
    if package.is_dir() and any(package.rglob("*.py")):
        return sorted(one for one in package.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
    return [module] if module.is_file() else []


def _installed(top: str, root: Path) -> Iterator[tuple[str, Path]]:
    spec = _spec(top)
    if spec is None:
        raise SourceError(f"no module {top!r} in {root} or among the installed packages")
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).rglob("*.py")):
            yield f"{top}/{path.relative_to(folder).as_posix()}", path
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield f"{top}.py", Path(spec.origin)


def _imports(path: Path, module: str = "") -> list[str]:
    """Dotted names that a file may import, wherever in it; none where it is no Python code or does not parse.

    Args:
        path: the file.
        module: its own name, from which relative imports are told; they are left out where it is not given.
    """
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    # What a single dot means here.
    own = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (module or not node.level):
            base = own[: len(own) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            # `from package import module` names a module; `from module import name` does not.
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return names
