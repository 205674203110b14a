"""Where a run is to write, the cache too: looked at before it starts, as what its end brings out has cost all of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness import baselines
from harness.report import summary
from harness.run.cache import default_folder
from harness.spec.files import id_of, root_of


def check_folders(config: pytest.Config) -> None:
    """Refuse folders that the command line names and nothing can be written to.

    Raises:
        pytest.UsageError: with the option, and what is in the way.
    """
    for option, name in (("--weighin-report", "weighin_report"), ("--export", "export")):
        folder: Path | None = config.getoption(name)
        if folder is not None and not config.option.collectonly:
            _refuse(f"{option} {folder}", hindrance(folder) or _taken_for_tests(config, option, folder))


def _taken_for_tests(config: pytest.Config, option: str, folder: Path) -> str:
    """Why pytest may have taken a folder for one of tests; empty where it has not.

    It looks for the project's root before it knows the options of plugins, among all folders that stand by themselves
    on the command line: beside one outside of the project, ``pytest.ini`` is not found any more.
    """
    here = config.invocation_params.dir.resolve()
    alone = str(folder) in map(str, config.invocation_params.args)
    outside = not (here / folder).resolve().is_relative_to(here)
    astray = config.inipath is None and config.rootpath.resolve() != here
    return f"pytest takes it for a folder of tests: write {option}={folder}" if alone and outside and astray else ""


def check_kept(config: pytest.Config, paths: Iterable[Path]) -> None:
    """Refuse to start where what is kept of these specs could not be written, or cached, or told to the CI system.

    Raises:
        pytest.UsageError: with what could not be written, and what is in the way.
    """
    found = set(paths)
    if not found or config.option.collectonly:
        return
    _check_cache(fresh=config.getoption("no_cache") or config.getoption("tier") == "release")
    if config.getoption("update_baselines"):
        folders = {baselines.path_of(root, id_of(path, root)).parent for path in found for root in [root_of(path)]}
        for folder in sorted(folders):
            _refuse(f"--update-baselines writes to {folder}", hindrance(folder))
    if target := os.environ.get(summary.VARIABLE):
        path = Path(target)
        missing = "" if path.parent.is_dir() else f"there is no folder {path.parent}"
        _refuse(f"{summary.VARIABLE} is {target}", missing or hindrance(path, file=True))


def _check_cache(*, fresh: bool) -> None:
    """The cache's folder, where the run uses it, and the size that is kept."""
    if not fresh:
        folder = default_folder()
        named = f"WEIGHIN_CACHE is {folder}" if os.environ.get("WEIGHIN_CACHE") else f"the cache lies in {folder}"
        _refuse(named, hindrance(folder))
    if given := os.environ.get("WEIGHIN_CACHE_GB"):
        try:
            size = float(given)
        except ValueError:
            size = math.nan
        if not 0 <= size < math.inf:
            _refuse(f"WEIGHIN_CACHE_GB is {given}", "give the size as a number of gigabytes, as in 10")


def hindrance(path: Path, *, file: bool = False) -> str:
    """Why a folder, or a file, cannot be written to, which need not be there yet; empty where nothing is in the way."""
    path = path.absolute()
    try:
        there = next(one for one in (path, *path.parents) if one.exists())
        taken, folder = file and there == path, there.is_dir()
    except OSError as error:
        return str(error)
    if taken and folder:
        return f"{there} is a folder"
    if not taken and not folder:
        return f"{there} is no folder"
    needed = os.W_OK if taken else os.W_OK | os.X_OK
    return "" if os.access(there, needed) else f"{there} cannot be written to"


def _refuse(what: str, why: str) -> None:
    if why:
        raise pytest.UsageError(f"{what}: {why}")
