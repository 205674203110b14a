"""What lies below `--export` passed in the last run that came to it: however that ended, nothing older is left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from project import Project, Run

SPEC = "compress: [{method: float16}]\nbudgets:\n  params_m: {max: 1}\n  size_mb: {max_ratio: %s}\n"
ACCEPT = ("--update-baselines", "--reason", "the first ones")
# Ends the run, or the xdist worker, when the item comes up that is named.
ENDER = """
import os, signal

def pytest_runtest_logstart(nodeid):
    if os.environ.get("STOP_AT") and nodeid.endswith(os.environ["STOP_AT"]):
        raise KeyboardInterrupt
    if os.environ.get("KILL_AT") and nodeid.endswith(os.environ["KILL_AT"]) and "PYTEST_XDIST_WORKER" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
"""
GONE = "; the earlier export was removed from out/vision/mine"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Project:
    """A project that has exported what passed; `kept` holds a copy of it."""
    project = Project(tmp_path_factory.mktemp("shipped") / "project", cache)
    (project.root / "conftest.py").write_text(ENDER)
    project.spec("vision/mine", SPEC % 0.6)
    first = project.run("--export", "out", *ACCEPT)
    assert first.code == 0, first.out
    assert "exported: out/vision/mine" in first.out
    shutil.copytree(project.root / "out", project.root / "kept")
    return project


def again(project: Project, spec: str, *arguments: str, **env: str) -> Run:
    """A further run, over what the first one exported."""
    shutil.rmtree(project.root / "out")
    shutil.copytree(project.root / "kept", project.root / "out")
    assert (project.root / "out" / "vision" / "mine" / "manifest.json").is_file()
    project.spec("vision/mine", spec)
    return project.run("--export", "out", *arguments, env=env)


def left(project: Project) -> list[Path]:
    return [path for path in (project.root / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "env", "code"),
    [
        (["-x"], {}, 1),
        ([], {"STOP_AT": "::size_mb"}, pytest.ExitCode.INTERRUPTED),
        (["-n", "1", "--max-worker-restart", "0"], {"KILL_AT": "::size_mb"}, 10),
        (["-n", "1", "--max-worker-restart", "0"], {"KILL_AT": "::params_m"}, 10),
    ],
    ids=["first failure", "interrupted", "worker dead", "worker dead at once"],
)
def test_a_run_that_ends_early_leaves_no_export_of_what_it_was_at(
    shipped: Project, arguments: list[str], env: dict[str, str], code: int
) -> None:
    """`size_mb` fails now, or is never judged at all."""
    run = again(shipped, SPEC % 0.2, *arguments, **env)
    assert left(shipped) == []
    assert GONE in run.out
    assert run.code == code


def test_a_file_that_cannot_be_read_any_more_leaves_no_export(shipped: Project) -> None:
    run = again(shipped, SPEC.replace("max_ratio", "max_ratoi") % 0.6)
    assert left(shipped) == []
    assert f"not exported: vision/mine: spec INVALID{GONE}" in run.out
    assert run.code == 10


def test_a_part_of_the_budgets_exports_nothing(shipped: Project) -> None:
    run = again(shipped, SPEC % 0.6, "specs/vision/mine.yaml::size_mb")
    assert left(shipped) == []
    assert f"not exported: vision/mine: only size_mb ran{GONE}" in run.out
    assert run.code == 0


def test_an_exported_packed_file_is_gated_as_it_lies_there(tmp_path: Path, cache: Path) -> None:
    project = Project(tmp_path / "project", cache)
    steps = "compress: [{method: magnitude-pruning, sparsity: 0.5}, {method: entropy-coding}]\n"
    rest = "deploy: {runtime: packed}\nbudgets:\n  size_mb: {max_ratio: 0.8}\n"
    project.spec("vision/mine", steps + rest)
    first = project.run("--export", "out", *ACCEPT)
    assert first.code == 0, first.out
    (made,) = (project.root / "out").rglob("*.packed")
    project.spec("vision/mine", "compress: [{method: given, path: out/vision/mine}]\n" + rest)
    again = project.run("--export", "again", *ACCEPT)
    assert again.code == 0, again.out
    assert (project.root / "again" / "vision" / "mine" / made.name).read_bytes() == made.read_bytes()
