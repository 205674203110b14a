from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.run import lock
from harness.run.server_process import ServerProcess


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHIN_LOCK", str(tmp_path / "weighin.lock"))


def hold(alone: bool, held: Any, release: Any) -> None:
    with lock.machine(alone=alone):
        held.set()
        release.wait(30)


class Holder:
    """Another process that holds the machine."""

    def __init__(self, *, alone: bool) -> None:
        context = multiprocessing.get_context("fork")
        self.held, self.release = context.Event(), context.Event()
        self.process = context.Process(target=hold, args=(alone, self.held, self.release))
        self.process.start()

    def end(self) -> None:
        self.release.set()
        self.process.join(10)


def test_sharers_do_not_wait_for_each_other() -> None:
    holder = Holder(alone=False)
    assert holder.held.wait(10)
    before = lock.waited()
    with lock.machine(alone=False):
        assert lock.waited() - before < 1
    holder.end()


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        (True, False, "waiting for a latency measurement to end"),
        (False, True, "waiting for the machine to itself, 1 s"),
        (True, True, "waiting for the machine to itself, 1 s"),
    ],
)
def test_whoever_wants_the_machine_alone_waits_and_is_told(theirs: bool, ours: bool, sentence: str) -> None:
    holder = Holder(alone=theirs)
    assert holder.held.wait(10)
    told: list[str] = []

    def progress(text: str) -> None:
        told.append(text)
        holder.release.set()

    before, started = lock.waited(), time.monotonic()
    with lock.machine(alone=ours, progress=progress):
        assert holder.release.is_set()
    assert told[0] == sentence
    # All that this process has waited, which no limit of seconds counts.
    assert 1 <= lock.waited() - before == pytest.approx(time.monotonic() - started, abs=0.1)
    holder.end()


def test_a_killed_holder_lets_go() -> None:
    holder = Holder(alone=True)
    assert holder.held.wait(10)
    assert holder.process.pid is not None
    os.kill(holder.process.pid, signal.SIGKILL)
    holder.process.join(10)
    started = time.monotonic()
    with lock.machine(alone=True):
        assert time.monotonic() - started < 1


def test_one_that_waits_alone_is_not_starved_by_newcomers() -> None:
    first = Holder(alone=False)
    assert first.held.wait(10)
    alone = Holder(alone=True)
    time.sleep(0.3)
    newcomer = Holder(alone=False)
    time.sleep(0.3)
    # The newcomer could share with the first holder, but queues behind the one that waits for the machine.
    assert not newcomer.held.is_set()
    first.end()
    assert alone.held.wait(10)
    alone.end()
    assert newcomer.held.wait(10)
    newcomer.end()


def test_the_lock_is_one_for_all_jobs_of_a_user_whatever_their_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEIGHIN_LOCK")
    found = set()
    for folder in ("/tmp/job-1", "/tmp/job-2"):
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        found.add(lock.lock_path())
    assert len(found) == 1


def test_a_lock_that_is_named_from_here_is_the_same_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers change to the project's folder: two projects would have two locks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHIN_LOCK", "here.lock")
    server = ServerProcess(1)
    try:
        assert server._environment["WEIGHIN_LOCK"] == str(tmp_path / "here.lock")
    finally:
        server.close()


def test_a_lock_whose_file_was_removed_is_taken_again_where_others_take_it() -> None:
    """Whoever tidies up temporary files may remove it: one who waited for the old file then waits for the new one."""
    first = Holder(alone=True)
    assert first.held.wait(10)
    second = Holder(alone=True)
    time.sleep(0.3)
    for path in (lock.lock_path(), lock.lock_path().with_suffix(".gate")):
        path.unlink()
    third = Holder(alone=True)
    assert third.held.wait(10)
    first.end()
    time.sleep(0.3)
    assert not second.held.is_set()
    third.end()
    assert second.held.wait(10)
    second.end()
