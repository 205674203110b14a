"""Under xdist one spec stays on one worker, and a project without specs keeps the scheduler that it has."""

from __future__ import annotations

import json

import pytest

# Needs no worker: nothing of it is run.
SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
requires: [amx_int8, cuda]
budgets: {size_mb: {max_ratio: 0.6}, params_m: {max: 1}}
"""
OWN = """
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import WorkStealingScheduling
    return WorkStealingScheduling(config, log)
"""


@pytest.mark.parametrize(
    ("arguments", "own", "scheduler"),
    [
        (["specs", "."], "", "OneSpecOneWorker"),
        # Specs are there, and none of them is selected.
        (["specs", ".", "-m", "not spec"], "", "LoadScheduling"),
        (["test_own.py"], "", "LoadScheduling"),
        (["specs", ".", "--dist", "loadfile"], "", "LoadFileScheduling"),
        (["specs", "."], OWN, "WorkStealingScheduling"),
    ],
    ids=["specs", "none selected", "none there", "another mode", "another scheduler"],
)
def test_the_scheduler_is_xdists_own_unless_specs_are_selected(
    pytester: pytest.Pytester, arguments: list[str], own: str, scheduler: str
) -> None:
    (pytester.path / "specs").mkdir()
    (pytester.path / "specs" / "mine.yaml").write_text(SPEC)
    pytester.makepyfile(test_own="def test_own(): pass\n")
    pytester.makeconftest(own)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", "-v", *arguments)
    assert done.ret == 0
    done.stdout.fnmatch_lines([f"scheduling tests via {scheduler}"])
    workers = {line.split("]")[0] for line in done.stdout.lines if line.startswith("[gw") and "mine.yaml" in line}
    assert len(workers) == (1 if scheduler in ("OneSpecOneWorker", "LoadFileScheduling") else len(workers))


# The moment in which a worker is dead, and xdist has not been told: it is killed as it is about to be sent work.
DYING = """
import os, signal, time
from xdist.workermanage import WorkerController

send, killed = WorkerController.send_runtest_some, []

def dying(self, indices):
    if len(killed) < {deaths}:
        killed.append(self)
        os.kill(self.gateway._io.popen.pid, signal.SIGKILL)
        while not self._down:
            time.sleep(0.01)
    send(self, indices)

WorkerController.send_runtest_some = dying
"""


@pytest.mark.parametrize("deaths", [1, 2])
def test_work_for_a_worker_that_died_a_moment_ago_is_done_by_others(pytester: pytest.Pytester, deaths: int) -> None:
    (pytester.path / "specs").mkdir()
    names = [f"mine{number}" for number in range(5)]
    for name in names:
        (pytester.path / "specs" / f"{name}.yaml").write_text(SPEC)
    pytester.makeconftest(DYING.format(deaths=deaths))
    done = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-n", "2", "--weighin-report", "report", "specs", timeout=120
    )
    assert "INTERNALERROR" not in done.stdout.str() + done.stderr.str()
    rows = json.loads((pytester.path / "report" / "report.json").read_text())["rows"]
    assert {(row["spec"], row["label"], row["verdict"]) for row in rows} == {
        (name, label, "NOT RUN") for name in names for label in ("size_mb", "params_m", "evidence")
    }
    # A worker that dies leaves the run red, though another did its work.
    assert done.ret == 10
