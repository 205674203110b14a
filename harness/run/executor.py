"""The pytest process's side of the workers: starts them, watches them, and turns every death into a sentence."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

from harness.run.job import Failure, Job, Outcome
from harness.run.worker import progress_path

LOG_LINES = 15
_TICK = 0.2
# Set before the libraries load; a forked worker ignores a later change.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Watch = Callable[[str, float], None]


class Executor(Protocol):
    """Runs jobs: here in worker processes of this machine; another engine may stand in."""

    def run(self, job: Job, watch: Watch) -> Outcome:
        """Run one job to its end; calls `watch` with what it is doing and for how many seconds."""

    def close(self) -> None:
        """End every process that was started."""


class LocalExecutor:
    """Workers on this machine, forked from one preloaded server an environment profile."""

    def __init__(self) -> None:
        self._servers: dict[int, _Server] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="weighin-jobs-"))
        self._count = 0
        atexit.register(self.close)

    def run(self, job: Job, watch: Watch) -> Outcome:
        """Run one job in a fresh process."""
        self._count += 1
        stem = self._folder / str(self._count)
        paths = {name: stem.with_suffix(f".{name}") for name in ("job", "outcome", "log")}
        paths["job"].write_text(job.model_dump_json())
        threads = job.spec.measure.threads
        server = self._servers.get(threads)
        if server is None or not server.alive:
            server = self._servers[threads] = _Server(threads, self._folder / f"server-{self._count}.log")
        limit = job.spec.measure.timeout_s
        ending = server.run(paths, limit, lambda seconds: watch(_doing(paths["outcome"], job.stage), seconds))
        try:
            outcome = Outcome.model_validate_json(paths["outcome"].read_text())
        except (OSError, ValueError):
            outcome = Outcome(failure=Failure(sentence=f"the {job.stage} stage {ending}"))
        if outcome.failure is not None and not outcome.failure.log:
            failure = outcome.failure.model_copy(update={"log": _tail(paths["log"])})
            outcome = outcome.model_copy(update={"failure": failure})
        return outcome

    def close(self) -> None:
        """End the servers, and with them their workers."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)


class _Server:
    """A running fork server, or where a process cannot be forked, a stand-in that starts a process a job."""

    def __init__(self, threads: int, log: Path) -> None:
        self._log = log
        self._environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_QUIET}
        self._process: subprocess.Popen[str] | None = None
        if hasattr(os, "fork"):
            with log.open("w") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "harness.run.server"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=self._environment,
                )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self._process is None or self._process.poll() is None

    def run(self, paths: Mapping[str, Path], limit: float, watch: Callable[[float], None]) -> str:
        """Run a job; returns how it ended, as the end of a sentence that is needed only where no outcome was left."""
        if self._process is None:
            return self._spawn(paths, limit, watch)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps({name: str(path) for name, path in paths.items()})
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return f"found its fork server gone: {_tail(self._log)}"
        started, pid, killed = time.monotonic(), 0, False
        for answer in _lines(self._process.stdout):
            elapsed = time.monotonic() - started
            if answer is None:
                watch(elapsed)
                if pid and not killed and elapsed > limit:
                    killed = True
                    _kill(pid)
                continue
            message = json.loads(answer)
            if "started" in message:
                pid, started = message["started"], time.monotonic()
            elif "status" in message:
                return _ending(message["status"], limit if killed else None, message["peak_bytes"])
        self.close()
        return f"lost its fork server, which ended by itself: {_tail(self._log)}"

    def _spawn(self, paths: Mapping[str, Path], limit: float, watch: Callable[[float], None]) -> str:
        started = time.monotonic()
        with paths["log"].open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.run.worker", str(paths["job"]), str(paths["outcome"])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
            while True:
                try:
                    process.wait(_TICK)
                    return f"ended with exit code {process.returncode} and left no result"
                except subprocess.TimeoutExpired:
                    watch(time.monotonic() - started)
                    if time.monotonic() - started > limit:
                        process.kill()
                        process.wait()
                        return f"was killed: it ran past its limit of {limit:g} s (measure.timeout_s)"

    def close(self) -> None:
        """End the server, and with it a worker that is still at work: there is nothing in either to save."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


# Libraries that would call home or draw progress bars; none of it belongs in a gate.
_QUIET = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
          "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}  # fmt: skip


def _lines(stream: IO[str]) -> Iterator[str | None]:
    """Lines of a stream as they come, and None at every tick in between; ends with the stream."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(_TICK):
                yield None
                continue
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                yield line.decode()


def _doing(outcome: Path, stage: str) -> str:
    try:
        return progress_path(outcome).read_text() or stage
    except OSError:
        return stage


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _ending(status: int, limit: float | None, peak: int) -> str:
    """A wait status in words."""
    if limit is not None:
        return f"was killed: it ran past its limit of {limit:g} s (measure.timeout_s)"
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hint = ""
        if name == "SIGKILL":
            hint = "; nobody here killed it, so most likely the system did, for want of memory"
        return f"died of {name} at a peak of {peak / 1e6:,.0f} MB{hint}"
    return f"ended with exit code {os.WEXITSTATUS(status)} and left no result"


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_LINES:])
