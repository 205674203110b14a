"""A server that was started ahead of need is handed out only where it is what would be started now."""

import os
import signal
import tempfile

import pytest

from harness.run import server_process
from harness.run.executor import LocalExecutor
from harness.run.job import Job
from harness.spec.schema import Spec

SPEC = Spec.model_validate(
    {
        "version": 1, "task": "image-classification", "model": {"source": "zoo", "name": "lenet5-digits"},
        "compress": [{"method": "float16"}], "budgets": {"size_mb": {"max_ratio": 0.6}}, "measure": {"threads": 1},
    }
)  # fmt: skip


@pytest.fixture(autouse=True)
def _ended():
    yield
    server_process.end_waiting()


def test_a_server_that_was_started_early_is_handed_out_once():
    server_process.start_early(1)
    server = server_process.take(1)
    assert server is not None
    assert server.threads == 1
    assert server.alive
    assert server_process.take(1) is None
    server.close()
    assert not server.alive


def test_a_server_of_other_threads_or_of_another_environment_is_not_handed_out(monkeypatch, tmp_path):
    server_process.start_early(1)
    assert server_process.take(2) is None
    with monkeypatch.context() as changed:
        changed.setenv("HF_HOME", str(tmp_path))
        assert server_process.take(1) is None
    with monkeypatch.context() as changed:
        changed.chdir(tmp_path)
        assert server_process.take(1) is None
    # What pytest notes of itself is no matter of a worker's.
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "another")
    server = server_process.take(1)
    assert server is not None
    server.close()


def test_what_nobody_took_is_ended():
    server_process.start_early(1)
    pid = server_process._waiting[0]._process.pid
    server_process.end_waiting()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_was_killed_tells_its_last_words_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = server_process.ServerProcess(1)
    os.pwrite(server._log.fileno(), b"its last words\n", 0)
    server._process.kill()
    server._process.wait()
    paths = {name: tmp_path / name for name in ("job", "outcome", "log")}
    assert server.run(paths, 10, lambda seconds: None) in (
        "found its fork server gone: its last words",
        "lost its fork server, which ended by itself: its last words",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_hangs_before_it_begins_a_job_is_given_up_and_ended(tmp_path):
    server = server_process.ServerProcess(1)
    server._process.send_signal(signal.SIGSTOP)
    paths = {name: tmp_path / name for name in ("job", "outcome", "log")}
    ended = server.run(paths, 0.5, lambda seconds: 0.0)
    assert ended.startswith("was not begun by its fork server within 0.5 s (measure.timeout_s)")
    assert not server.alive


def test_the_end_of_a_log_says_where_native_code_crashed_and_not_what_was_loaded():
    crash = 'Fatal Python error: Segmentation fault\n\n  File "nets.py", line 3 in build'
    assert server_process.last_lines(f"{crash}\nExtension modules: a, b, c (total: 3)\n") == crash


def test_a_call_that_is_ended_from_outside_takes_its_server_with_it(tmp_path):
    """What the job leaves later would be taken for the answer to the next one."""

    class Server:
        alive, closed = True, False

        def run(self, paths, limit, watch):
            raise KeyboardInterrupt

        def close(self):
            self.closed = True

    executor, server = LocalExecutor(), Server()
    executor._servers[1] = server
    job = Job(stage="measure", spec=SPEC, root=str(tmp_path), reference="", compressed="")
    with pytest.raises(KeyboardInterrupt):
        executor.run(job, lambda doing, seconds: None)
    assert server.closed
    assert executor._servers == {}
    executor.close()


@pytest.mark.parametrize("variable", ["WEIGHIN_CACHE", "WEIGHIN_DATA"])
def test_a_folder_that_is_named_from_here_is_the_same_for_workers(tmp_path, monkeypatch, variable):
    """They change to the project's folder, and would convert and fetch everything once more there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "mine")
    server = server_process.ServerProcess(1)
    try:
        assert server._environment[variable] == str(tmp_path / "mine")
    finally:
        server.close()


def test_a_folder_that_nobody_names_is_named_to_no_worker(monkeypatch):
    for variable in ("WEIGHIN_CACHE", "WEIGHIN_DATA"):
        monkeypatch.delenv(variable, raising=False)
    server = server_process.ServerProcess(1)
    try:
        assert not {"WEIGHIN_CACHE", "WEIGHIN_DATA"} & server._environment.keys()
    finally:
        server.close()
