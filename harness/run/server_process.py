"""A fork server as the pytest process holds it: one thread count's environment, jobs in, how each ended out."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.folders import CACHE, DATA, cache_folder, data_folder
from harness.run.lock import LOCK, lock_path

LOG_LINES = 15
_TICK = 0.2
# Set before the libraries load; a forked worker ignores a later change.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ServerProcess:
    """A running fork server, or where a process cannot be forked, a stand-in that starts a process a job."""

    def __init__(self, threads: int) -> None:
        self.threads, self.place = threads, _place()
        # Without a name, so that a run that is killed leaves nothing behind; closed by `close`.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # Workers change to the project's folder, and each of these is one place for all of them.
        places = {LOCK: lock_path(), CACHE: cache_folder(), DATA: data_folder()}
        named = {name: str(place) for name, place in places.items() if os.environ.get(name)}
        self._environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_QUIET, **named}
        self._process: subprocess.Popen[str] | None = None
        if hasattr(os, "fork"):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.run.server"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=self._environment,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can still take a job."""
        return self._process is None or self._process.poll() is None

    def run(self, paths: Mapping[str, Path], limit: float, watch: Callable[[float], float]) -> str:
        """Run a job.

        Args:
            paths: of the job, its outcome and its log.
            limit: seconds that it may take.
            watch: called with the seconds so far; returns those of them that it only waited, which are not counted.

        Returns:
            How it ended, as the end of a sentence that is needed only where no outcome was left.
        """
        if self._process is None:
            return self._spawn(paths, limit, watch)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps({name: str(path) for name, path in paths.items()})
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            last = self._said()
            self.close()
            return f"found its fork server gone: {last}"
        started, pid, killed = time.monotonic(), 0, False
        for answer in _lines(self._process.stdout):
            elapsed = time.monotonic() - started
            if answer is None:
                waited = watch(elapsed)
                if killed or elapsed - waited <= limit:
                    continue
                if not pid:
                    last = self._said()
                    self.close()
                    return f"was not begun by its fork server within {limit:g} s (measure.timeout_s): {last}"
                killed = True
                _kill(pid)
                continue
            message = json.loads(answer)
            if "started" in message:
                pid, started = message["started"], time.monotonic()
            elif "status" in message:
                return _ending(message["status"], limit if killed else None, message["peak_bytes"])
        last = self._said()
        self.close()
        return f"lost its fork server, which ended by itself: {last}"

    def _said(self) -> str:
        """The last lines of the server's own log; read in place, for its process writes at the same position."""
        descriptor = self._log.fileno()
        return last_lines(os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace"))

    def _spawn(self, paths: Mapping[str, Path], limit: float, watch: Callable[[float], float]) -> str:
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
                    if time.monotonic() - started - watch(time.monotonic() - started) > limit:
                        process.kill()
                        process.wait()
                        return f"was killed: it ran past its limit of {limit:g} s (measure.timeout_s)"

    def close(self) -> None:
        """End the server, and with it a worker that is still at work: there is nothing in either to save."""
        self._log.close()
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # A request that nobody took is still in the pipe.
                with suppress(BrokenPipeError):
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
            hint = "; weighin did not kill it; most likely the kernel did, out of memory"
        return f"died of {name} at a peak of {peak / 1e6:,.0f} MB{hint}"
    return f"ended with exit code {os.WEXITSTATUS(status)} and left no result"


def tail(path: Path) -> str:
    """The last lines of a log; nothing where there is none."""
    try:
        return last_lines(path.read_text(errors="replace"))
    except OSError:
        return ""


def last_lines(text: str) -> str:
    """As many as a report shows, without the list of every loaded extension that a crash ends with."""
    lines = [line for line in text.splitlines() if not line.startswith("Extension modules: ")]
    return "\n".join(lines[-LOG_LINES:])


def _place() -> tuple[str, dict[str, str]]:
    """What a process inherits: a server that was started under another is not the one that is asked for now."""
    # What pytest notes there of itself (the test at work) is no matter of a worker's.
    return os.getcwd(), {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


# Started ahead of need, so that the libraries load while pytest still does; adopted by the first who asks, or ended.
_waiting: list[ServerProcess] = []


def start_early(threads: int) -> None:
    """Start a server that `take` will hand out."""
    _waiting.append(ServerProcess(threads))


def take(threads: int) -> ServerProcess | None:
    """A server that was started early for so many threads, where it would be the same if it were started now."""
    for server in _waiting:
        if server.threads == threads and server.alive and server.place == _place():
            _waiting.remove(server)
            return server
    return None


def end_waiting() -> None:
    """End every server that nobody took."""
    while _waiting:
        _waiting.pop().close()
