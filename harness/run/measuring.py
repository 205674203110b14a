"""The `measure` and `memory` stages: artifacts reloaded in a fresh process, and every asked budget measured on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.errors import NotHere, Unmeasurable
from harness.measurement import Measurement
from harness.run import probe
from harness.run.answering import called
from harness.run.bench import LocalBench
from harness.run.compressing import ARTIFACT
from harness.run.failing import failure_of, out_of_memory
from harness.run.job import Failure, Job, Measured
from harness.run.lock import machine
from harness.run.mutation import mutation
from harness.run.reloading import repeated

# The kernel counts some pages of each thread late.
LATE_BYTES = 4 << 20


def measure(job: Job, progress: Callable[[str], None]) -> Measured:
    """Reload both artifacts and measure every asked budget; a budget that cannot be measured fails alone.

    Raises:
        Unmeasurable: an artifact does not reload, or is not what was saved.
        MemoryError: or whatever else an allocator raises; it ends the job.
    """
    spec = job.spec
    progress("reloading both artifacts")
    bench = LocalBench(job, progress)
    contradictions = bench.contradictions()
    measurements, failures = dict[str, Measurement](), dict[str, Failure]()
    # Timings last: evaluation has warmed the process up, and waiting for the machine then holds up nothing else.
    for label in sorted(job.labels, key=lambda name: spec.budgets[name].machine):
        metric = spec.budgets[label]
        progress(f"measuring {label}")
        try:
            measurements[label] = metric.measure(bench)
        except NotHere:
            raise
        except Exception as error:
            # A process without memory can measure nothing more, and what it measures next means little.
            if out_of_memory(error):
                raise
            failures[label] = failure_of(f"the metric {metric.metric}", error)
    measured = Measured(
        measurements=measurements,
        failures=failures,
        reference=bench.reference.evidence,
        compressed=bench.compressed.evidence,
        contradictions=tuple(contradictions),
        kernels=spec.deploy.kernels(),
        names=bench.names,
        scores=bench.scores,
    )
    return mutation(job.mutant).document(measured)


def peak_bytes(job: Job, progress: Callable[[str], None]) -> int:
    """Growth of peak resident memory while one artifact is loaded and run, over the state after the imports of both."""
    spec = job.spec
    folder = Path(getattr(job, job.side))
    batch, _ = probe.read(folder)
    inputs = repeated(batch, spec.measure.batch)
    with machine(alone=False, progress=progress):
        progress(f"measuring the memory of the {called(job.side)} artifact")
        # Of both sides: what one of them alone needs would count as its model otherwise.
        for each in (job.reference, job.compressed):
            spec.deploy.warm(Path(each) / ARTIFACT)
        before = _resident("VmRSS")
        # Forgets the peak so far, where the kernel lets us; else the peak of the imports may hide the model's.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        hidden = _resident("VmHWM")
        runner = spec.deploy.load(folder / ARTIFACT, spec.measure.threads)
        for _ in range(3):
            runner(inputs)
        peak = _resident("VmHWM")
        if peak <= hidden and hidden - before > LATE_BYTES:
            raise Unmeasurable(
                f"this system does not let the peak of the imports be forgotten, {hidden / 1e6:.0f} MB, and the model "
                "does not reach it: what it takes itself is hidden beneath"
            )
        return max(0, peak - before)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise Unmeasurable(f"this system does not tell {field}")
