"""A digest of the code behind a part, so that a cached artifact is not taken for the work of changed code."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path


@functools.cache
def code_digest(*modules: str) -> str:
    """The sha256 over the sources of these modules and of all that they import of their own top-level packages.

    Imports inside functions count too. Nothing is imported.
    """
    pending, sources = list(modules), dict[str, bytes]()
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        path = _source(name)
        if path is None:
            continue
        sources[name] = path.read_bytes()
        pending.extend(_imports(name, sources[name], is_package=path.name == "__init__.py"))
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + hashlib.sha256(sources[name]).digest())
    return digest.hexdigest()


@functools.cache
def _source(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return Path(found.origin)


def _imports(module: str, source: bytes, *, is_package: bool) -> list[str]:
    package = module.partition(".")[0]
    # What a single dot means here.
    own = module.split(".") if is_package else module.split(".")[:-1]
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            source_module = ".".join([*base, *filter(None, [node.module])])
            # `from package import module` names a module; `from module import name` does not.
            names += [source_module, *(f"{source_module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name == package or name.startswith(f"{package}.")]
