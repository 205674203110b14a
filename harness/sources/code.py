"""What code a factory consists of, found and hashed without importing any of it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from harness.errors import SourceError


def file_below(module: str, root: Path) -> Path | None:
    """The file that an import of `module` executes where it lies below `root`, else None."""
    path = root.joinpath(*module.split("."))
    return next((one for one in (path / "__init__.py", path.with_name(f"{path.name}.py")) if one.is_file()), None)


def code_digest(module: str, root: Path) -> str:
    """The sha256 of a module's package and of whatever it imports of the project, over file names and bytes.

    Of the project's packages all files count, for a package may read its own data; of an installed package its ``.py``
    files do.

    Raises:
        SourceError: no such module.
    """
    digest = hashlib.sha256()
    for label, path in _files(module.partition(".")[0], root):
        digest.update(label.encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(top: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Every file with the name that it is hashed under."""
    if not _own(top, root):
        yield from _installed(top, root)
        return
    waiting, seen = [top], {top}
    while waiting:
        for path in _own(waiting.pop(0), root):
            yield path.relative_to(root).as_posix(), path
            for name in sorted(_imports(path)):
                if name not in seen and _own(name, root):
                    seen.add(name)
                    waiting.append(name)


def _own(top: str, root: Path) -> list[Path]:
    """The files of a top-level module or package that lies directly below `root`."""
    package, module = root / top, root / f"{top}.py"
    if package.is_dir() and any(package.rglob("*.py")):
        return sorted(one for one in package.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
    return [module] if module.is_file() else []


def _installed(top: str, root: Path) -> Iterator[tuple[str, Path]]:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise SourceError(f"no module {top!r} in {root} or among the installed packages")
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).rglob("*.py")):
            yield f"{top}/{path.relative_to(folder).as_posix()}", path
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield f"{top}.py", Path(spec.origin)


def _imports(path: Path) -> set[str]:
    """Top-level names that a Python file imports, absolutely; none where it does not parse."""
    if path.suffix != ".py":
        return set()
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {
        node.module.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return names
