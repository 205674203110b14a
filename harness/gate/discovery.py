"""Which files of a run are specs; known before anything of them is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.spec.files import MUST_FAIL, SUFFIXES, folders_of, is_stem, leads_nowhere, sought


def wanted(path: Path, parent: pytest.Collector) -> bool:
    """Whether a file is a spec of this run: YAML below a `specs/`, or YAML that was named on the command line.

    Stems (`_*.yaml`) and `must-fail/` are collected only when they are named. In `spec.files`,
    `collected` and `below` say the same without pytest; whoever changes one changes all.
    """
    if path.suffix not in SUFFIXES:
        return False
    return parent.session.isinitpath(path) or (not is_stem(path) and _looked_for(path, parent))


def lost(folder: pytest.Directory) -> list[Path]:
    """Links in a folder that lead nowhere, and behind which a spec of this run was, or a folder of them.

    pytest passes them over in silence. In `spec.files`, `lost_below` says the same without it.
    """
    config = folder.config
    with os.scandir(folder.path) as entries:
        links = sorted(Path(entry.path) for entry in entries if entry.is_symlink())
    return [
        link
        for link in links
        if sought(link, config.getini("norecursedirs"))
        and leads_nowhere(link)
        and _looked_for(link, folder)
        and not folder.ihook.pytest_ignore_collect(collection_path=link, config=config)
    ]


def _looked_for(path: Path, parent: pytest.Collector) -> bool:
    """Whether specs are looked for there: below a `specs/`, and of `must-fail/` only where that was named."""
    below = folders_of(path, parent.config.rootpath)
    if "specs" not in (path.name, *below):
        return False
    if MUST_FAIL in below:
        folder = next(part for part in path.parents if part.name == MUST_FAIL)
        return parent.session.isinitpath(folder) or any(
            parent.session.isinitpath(part) for part in path.parents if folder in part.parents
        )
    return True
