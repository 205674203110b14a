"""Which files of a run are specs; known before anything of them is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.files import MUST_FAIL, SUFFIXES, is_stem


def wanted(path: Path, parent: pytest.Collector) -> bool:
    """Whether a file is a spec of this run: YAML below a `specs/`, or YAML that was named on the command line.

    Stems (`_*.yaml`) and `must-fail/` are collected only when they are named. `spec.files.collected` says the same of a
    project whose pytest does not run; whoever changes one changes both.
    """
    if path.suffix not in SUFFIXES:
        return False
    if parent.session.isinitpath(path):
        return True
    below = _folders(path, parent.config.rootpath)
    if "specs" not in below or is_stem(path):
        return False
    if MUST_FAIL in below:
        folder = next(part for part in path.parents if part.name == MUST_FAIL)
        return parent.session.isinitpath(folder) or any(
            parent.session.isinitpath(part) for part in path.parents if folder in part.parents
        )
    return True


def _folders(path: Path, root: Path) -> list[str]:
    """Names of the folders that a file lies in.

    Those above a project do not count: one that was checked out below somebody's `specs/` is not all specs. A run that
    was started inside of a project's `specs/` has them above it.
    """
    if path.is_relative_to(root):
        inside = [part.name for part in path.relative_to(root).parents]
        if "specs" in inside or (root / "specs").is_dir():
            return inside
    return [part.name for part in path.parents]
