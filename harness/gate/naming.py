"""What specs are called in tables, reports and exports: by their ids, or by their paths where ids may not be unique."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from harness.spec.files import home_of, id_of, root_of


class Names:
    """The names of a run's specs.

    An id tells the specs of one project apart. Where a run gates several projects at once, two specs may have the same
    one, and each is called by its path from the folder that all projects lie in.
    """

    def __init__(self, start: Path, paths: Iterable[Path] = ()) -> None:
        """Know the specs of a run.

        Args:
            start: pytest's own root; paths start there where it holds all projects.
            paths: of all spec files that were collected.
        """
        roots = {root_of(path) for path in set(paths)}
        self._base = Path(os.path.commonpath([start.resolve(), *roots])) if len(roots) > 1 else None

    def of(self, path: Path) -> str:
        """What the spec of a file is called."""
        if self._base is None:
            return id_of(path, root_of(path))
        return home_of(path).relative_to(self._base).with_suffix("").as_posix()

    def project(self, root: Path) -> str:
        """Where a project lies, from the folder that all projects of the run lie in; empty where there is one."""
        return "" if self._base is None else root.relative_to(self._base).as_posix()

    def below(self, root: Path, name: str) -> str:
        """What something of a project is called, which has this name there."""
        return within(self.project(root), name)


def within(project: str, name: str) -> str:
    """What something of a project is called, by where the run says that the project lies; see `Names.project`."""
    return PurePosixPath(project, name).as_posix()


_NAMES = pytest.StashKey[Names]()


def learn(config: pytest.Config, paths: Iterable[Path]) -> None:
    """Learn which spec files a run has collected, selected or not: a part of it calls them what all of it does."""
    config.stash[_NAMES] = Names(config.rootpath, paths)


def names(config: pytest.Config) -> Names:
    """The names of this run's specs; ids before they were collected."""
    return config.stash.get(_NAMES, None) or Names(config.rootpath)
