"""A latency budget while another process holds the machine: it waits, says so, and goes on once the holder is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from project import Project

fcntl = pytest.importorskip("fcntl")

HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_SH)
print(flush=True)
time.sleep(600)
"""
# Far more than a stage takes beside other tests, so that only the wait could reach its limit.
WAITS_S = 8.0


def kill_once_someone_waits(holder: subprocess.Popen[str], path: Path) -> None:
    """A process that waits for the machine to itself holds the gate meanwhile."""
    with path.with_suffix(".gate").open("a") as gate:
        while holder.poll() is None:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(WAITS_S)
                # Taken for an instant by everyone; held as long as this only by one that waits.
                try:
                    fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder.kill()
                    return
            fcntl.flock(gate, fcntl.LOCK_UN)
            time.sleep(0.05)


@pytest.mark.parametrize("arguments", [(), ("-n", "1")])
def test_a_latency_budget_waits_for_the_machine_and_says_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "weighin.lock"
    monkeypatch.setenv("WEIGHIN_LOCK", str(path))
    # What it waits is not counted: a stage of it may take no longer than the holder keeps the machine.
    measure = f"measure: {{timeout_s: {WAITS_S}}}\n"
    budget = "latency_ms: {max_ratio: 90.0, because: it has only to wait}"
    project.spec("fast", f"compress: [{{method: float16}}]\n{measure}budgets:\n  {budget}\n")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    watcher = threading.Thread(target=kill_once_someone_waits, args=(holder, path))
    watcher.start()
    try:
        run = project.run(*arguments)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
        watcher.join(10)
    assert run.verdicts()["fast::latency_ms"] == "PASS"
    said = [line for line in run.out.splitlines() if line.startswith("fast waited ")]
    assert len(said) == 1
    assert int(said[0].split()[2]) >= WAITS_S - 1


def test_a_time_limit_on_tests_ends_no_case(project: Project) -> None:
    """pytest-timeout would count waiting for the machine, and leave a worker behind without a verdict."""
    project.spec("slow", "compress: [{method: float16}]\nbudgets:\n  size_mb: {max_ratio: 0.6}\n")
    run = project.run("--timeout", "0.1", "--update-baselines", "--reason", "the first")
    assert run.code == 0, run.out
    assert run.verdicts()["slow::size_mb"] == "PASS"
