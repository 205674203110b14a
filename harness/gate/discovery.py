"""Which files of a run are specs; known before anything of them is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.files import MUST_FAIL, SUFFIXES, folders_of, is_stem


def wanted(path: Path, parent: pytest.Collector) -> bool:
    """Whether a file is a spec of this run: YAML below a `specs/`, or YAML that was named on the command line.

    Stems (`_*.yaml`) and `must-fail/` are collected only when they are named. In `spec.files`,
    `collected` and `below` say the same without pytest; whoever changes one changes all.
    """
    if path.suffix not in SUFFIXES:
        return False
    if parent.session.isinitpath(path):
        return True
    below = folders_of(path, parent.config.rootpath)
    if "specs" not in below or is_stem(path):
        return False
    if MUST_FAIL in below:
        folder = next(part for part in path.parents if part.name == MUST_FAIL)
        return parent.session.isinitpath(folder) or any(
            parent.session.isinitpath(part) for part in path.parents if folder in part.parents
        )
    return True
