"""What happens inside a worker process: one job in, one outcome out, whatever goes wrong in between.

python -m harness.run.worker JOB.json OUTCOME.json     where a process cannot be forked
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from harness.errors import NotHere
from harness.run.failing import failure_of, out_of_memory
from harness.run.job import Failure, Job, Outcome
from harness.run.lock import waited

Progress = Callable[[str], None]


def run(job_path: Path, outcome_path: Path) -> None:
    """Run one job; always leaves a whole outcome file, unless the process itself dies."""
    started = time.monotonic()
    job = Job.model_validate_json(job_path.read_text())
    try:
        _settle(job)
        outcome = _stage(job, _announcer(outcome_path))
    except NotHere as error:
        outcome = Outcome(not_here=str(error))
    except Exception as error:
        outcome = Outcome(failure=_failure(job, error))
    seconds = {**outcome.seconds, job.stage: time.monotonic() - started}
    outcome = outcome.model_copy(update={"seconds": seconds, "waited": waited()})
    _write(outcome_path, outcome.model_dump_json())


def progress_path(outcome_path: Path) -> Path:
    """Where a worker says what it is doing, and for how many seconds it has waited for the machine: JSON."""
    return outcome_path.with_suffix(".progress")


def _stage(job: Job, progress: Progress) -> Outcome:
    # Imported here: the pytest process reads this module's names too, and these import nothing heavy until they run.
    from harness.run import compressing, measuring

    if job.stage == "compress":
        compressing.compress(job, progress)
        return Outcome()
    if job.stage == "mutate":
        from harness.run.mutating import mutate

        mutate(job, progress)
        return Outcome()
    if job.stage == "memory":
        return Outcome(peak_bytes=measuring.peak_bytes(job, progress))
    return Outcome(measured=measuring.measure(job, progress))


def _settle(job: Job) -> None:
    """Seeds, threads and limits, before anything else happens in this process."""
    import random

    import numpy as np

    measure = job.spec.measure
    random.seed(measure.seed)
    np.random.seed(measure.seed)
    if "torch" in sys.modules or job.stage != "memory":
        import torch

        torch.manual_seed(measure.seed)
        torch.set_num_threads(measure.threads)
    if measure.memory_mb is not None:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        limit = used + measure.memory_mb * 10**6
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # Third-party chatter belongs in the log once, not thousands of times.
    warnings.simplefilter("once")
    logging.getLogger().setLevel(logging.WARNING)
    # Project code (`factory: mypackage.nets:build`) is imported from the project root.
    os.chdir(job.root)


def _announcer(outcome_path: Path) -> Progress:
    path = progress_path(outcome_path)

    def announce(text: str) -> None:
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"doing": text, "waited": waited()}))
        temporary.replace(path)

    return announce


def _failure(job: Job, error: Exception) -> Failure:
    """Why the job left nothing."""
    failure = failure_of(f"the {job.stage} stage", error)
    if not out_of_memory(error):
        return failure
    limit = f" of {job.spec.measure.memory_mb} MB (measure.memory_mb)" if job.spec.measure.memory_mb else ""
    return failure.model_copy(
        update={"kind": "ended", "sentence": f"the {job.stage} stage ran out of memory{limit}: {error}"}
    )


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
