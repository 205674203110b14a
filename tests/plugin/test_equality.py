"""The same verdicts whichever way a run goes: serial, spread over xdist workers, with workers that are killed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from project import Project, Run

from harness.gate.outcome import exit_status
from harness.judge.verdict import State

FP16 = "compress: [{method: float16}]\n"
SIZE = "budgets:\n  size_mb: {max_ratio: %s}\n"
VICTIM = """version: 1
title: {title}
task: image-classification
model: {{source: python, factory: "nets:build", arguments: {{fault: kill}}}}
data: {{source: digits}}
compress: [{{method: float16}}]
budgets: {{size_mb: {{max_ratio: 0.9}}}}
"""
# Dies, as by the hand of the system's memory killer, where it is an xdist worker and comes upon the victim: once where
# it can leave a mark that it did, else each time.
KILLER = """
import os, pathlib, signal

def pytest_runtest_logstart(nodeid):
    mark = pathlib.Path(os.environ.get("KILL_NODE", "/none"))
    if "PYTEST_XDIST_WORKER" in os.environ and "victim" in nodeid and mark.name != "none" and not mark.exists():
        if mark.parent.is_dir():
            mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Project:
    """A spec of every verdict, and one to be killed."""
    project = Project(tmp_path_factory.mktemp("mixed") / "project", cache)
    (project.root / "conftest.py").write_text(KILLER)
    project.spec(
        "a/good", FP16 + SIZE % 0.60 + "  top1: {max_drop: 0.02, reference_min: 0.9}\n  f1: {max_drop: 0.05}\n"
    )
    project.spec("a/over", FP16 + SIZE % 0.30)
    project.spec(
        "a/undecided", "compress: [{method: magnitude-pruning, sparsity: 0.8}]\nbudgets: {top1: {max_drop: 0.008}}\n"
    )
    project.spec("b/broken", FP16 + SIZE.replace("max_ratio", "max_ratoi") % 0.30)
    project.spec("b/elsewhere", FP16 + "requires: [amx_int8, cuda]\n" + SIZE % 0.6)
    project.spec(
        "b/cases", f"cases:\n  half: {{{FP16.strip()}}}\n  same: {{compress: [{{method: identity}}]}}\n" + SIZE % 0.6
    )
    project.spec("c/victim", "", head=VICTIM)
    project.run("--update-baselines", "--reason", "the first ones")
    return project


@pytest.fixture(scope="module")
def serial(mixed: Project) -> Run:
    return mixed.run()


def untouched(run: Run) -> list[dict[str, Any]]:
    """Every row but the victim's, whole: figures, intervals, sentences. No budget here is a time."""
    rows = [row for row in run.report["rows"] if row["spec"] != "c/victim"]
    return sorted(rows, key=lambda row: (row["spec"], row["case"], row["label"]))


def test_the_serial_run_has_every_verdict(serial: Run) -> None:
    found = serial.verdicts()
    assert set(found.values()) == {"PASS", "FAIL", "INVALID", "INCONCLUSIVE", "NOT RUN"}
    assert found["a/undecided::top1"] == "INCONCLUSIVE"
    assert found["c/victim::size_mb"] == "PASS"
    assert serial.code == 1


def test_xdist_gives_the_same_rows(mixed: Project, serial: Run) -> None:
    spread = mixed.run("-n", "2")
    assert untouched(spread) == untouched(serial), spread.out
    assert spread.verdicts() == serial.verdicts()
    assert spread.code == serial.code


def test_a_killed_worker_takes_no_other_verdict_with_it(mixed: Project, serial: Run, tmp_path: Path) -> None:
    # A cache of its own: nothing that was measured before can stand in for what the killed worker should have done.
    killed = mixed.run(env={"KILL_WORKER": "1", "WEIGHIN_CACHE": str(tmp_path)})
    assert untouched(killed) == untouched(serial), killed.out
    for label in ("size_mb", "evidence"):
        assert killed.verdicts()[f"c/victim::{label}"] == "INVALID"
        assert "the compress stage died of SIGKILL" in killed.sentence("c/victim", label)
    assert "most likely the kernel did, out of memory" in killed.sentence("c/victim", "size_mb")


def test_a_killed_xdist_worker_is_told_and_its_specs_are_run_by_another(
    mixed: Project, serial: Run, tmp_path: Path
) -> None:
    killed = mixed.run("-n", "2", env={"KILL_NODE": str(tmp_path / "killed")})
    assert (tmp_path / "killed").exists()
    assert untouched(killed) == untouched(serial), killed.out
    assert killed.verdicts() == serial.verdicts()
    assert "run again: c/victim::size_mb, after its xdist worker died" in killed.out
    assert killed.code == 1


def test_an_item_that_kills_every_worker_is_a_row_and_no_silence(mixed: Project) -> None:
    run = mixed.run(
        "specs/c/victim.yaml", "specs/a/good.yaml", "-n", "1", "--max-worker-restart", "0",
        env={"KILL_NODE": str(mixed.root / "none" / "such")},
    )  # fmt: skip
    assert run.verdicts()["c/victim::size_mb"] == "INVALID"
    assert "the xdist worker that ran it died" in run.sentence("c/victim", "size_mb")
    assert run.code == 10


@pytest.mark.parametrize(
    ("specs", "code"),
    [
        (["a/good"], 0),
        (["a/good", "b/elsewhere"], 0),
        (["a/good", "a/undecided"], 11),
        (["a/undecided", "b/broken"], 10),
        (["a/undecided", "b/broken", "a/over"], 1),
    ],
)
def test_the_exit_code_tells_regressed_from_misconfigured_from_could_not_tell(
    mixed: Project, specs: list[str], code: int
) -> None:
    assert mixed.run(*(f"specs/{name}.yaml" for name in specs)).code == code


def test_pytests_own_codes_stay_and_a_failing_test_is_one(mixed: Project) -> None:
    (mixed.root / "test_own.py").write_text("def test_own():\n    assert False\n")
    assert mixed.run("test_own.py", "specs/b/broken.yaml", "-m", "").code == pytest.ExitCode.TESTS_FAILED == 1
    assert mixed.run("specs/a/good.yaml", "-k", "nothing").code == pytest.ExitCode.NO_TESTS_COLLECTED == 5
    assert mixed.run("--no-such-option").code == pytest.ExitCode.USAGE_ERROR == 4


@pytest.mark.parametrize("strict", [False, True])
def test_every_set_of_verdicts_exits_by_its_worst(strict: bool) -> None:
    """Broken before invalid before inconclusive; what was not run is a failure in a release alone."""
    codes = {State.FAIL: 1, State.INVALID: 10, State.INCONCLUSIVE: 11, State.NOT_RUN: 1 if strict else None}
    for size in range(len(State) + 1):
        for states in combinations(State, size):
            found = {code for state in states if (code := codes.get(state)) is not None}
            assert exit_status(set(states), strict) == min(found, default=None)
