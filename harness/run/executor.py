"""The pytest process's side of the workers: starts them, watches them, and turns every death into a sentence."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from harness.run.job import Failure, Job, Outcome
from harness.run.server_process import ServerProcess, tail, take
from harness.run.worker import progress_path

Watch = Callable[[str, float], None]
# Until the worker says what it is doing.
_STARTING = "starting a worker"


class Executor(Protocol):
    """Runs jobs: here in worker processes of this machine; another engine may stand in."""

    def run(self, job: Job, watch: Watch) -> Outcome:
        """Run one job to its end; calls `watch` with what it is doing and for how many seconds."""

    def close(self) -> None:
        """End every process that was started."""


class LocalExecutor:
    """Workers on this machine, forked from one preloaded server an environment profile."""

    def __init__(self) -> None:
        self._servers: dict[int, ServerProcess] = {}
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
            if server is not None:
                server.close()
            server = self._servers[threads] = take(threads) or ServerProcess(threads)
        limit = job.spec.measure.timeout_s

        def tick(seconds: float) -> float:
            doing, waited = _doing(paths["outcome"])
            watch(doing, seconds)
            return waited

        try:
            ending = server.run(paths, limit, tick)
        except BaseException:
            # What ends this call from outside leaves the job running, and its answer would be taken for the next one's.
            self._servers.pop(threads).close()
            raise
        try:
            outcome = Outcome.model_validate_json(paths["outcome"].read_text())
        except OSError:
            failure = Failure(sentence=f"the {job.stage} stage {ending}", kind="ended")
            outcome = Outcome(failure=failure, waited=_doing(paths["outcome"])[1])
        except ValueError as error:
            sentence = f"the {job.stage} stage left a result that cannot be read"
            outcome = Outcome(failure=Failure(sentence=sentence, log=str(error), kind="ended"))
        if outcome.failure is not None and not outcome.failure.log:
            failure = outcome.failure.model_copy(update={"log": tail(paths["log"])})
            outcome = outcome.model_copy(update={"failure": failure})
        return outcome

    def close(self) -> None:
        """End the servers, and with them their workers."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)


def _doing(outcome: Path) -> tuple[str, float]:
    """What a worker does, and for how many seconds it has waited for the machine."""
    try:
        told = json.loads(progress_path(outcome).read_text())
    except (OSError, ValueError):
        return _STARTING, 0.0
    return told["doing"], told["waited"]
