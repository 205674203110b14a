"""The straight line of one case: compress (or take from the cache), measure, hand back a result. Runs no model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.code import code_digest
from harness.errors import Unmeasurable
from harness.registry import Options
from harness.run.cache import Cache, key_of, sealed_digest, temporary
from harness.run.compressing import ARTIFACT
from harness.run.environment import environment, software
from harness.run.executor import Executor, Watch
from harness.run.job import Failure, Job, Outcome
from harness.run.result import Result
from harness.run.samples import address
from harness.sources.base import Source
from harness.spec.load import Case, SpecFile
from harness.spec.requirements import shortfall
from harness.spec.schema import Spec
from harness.tasks.base import TASKS

# Processes in which the memory of each side is read. Where noise alone tells the sides apart, all of three readings lie
# below all of three others once in 20.
READINGS = 3


@dataclass
class Run:
    """One case that was run, while its artifact is still at hand."""

    result: Result
    artifact: Path | None


@dataclass
class Spent:
    """Where a case's time went so far.

    Attributes:
        seconds: stage → seconds, of all jobs.
        waited: seconds of them in which other measurements of this machine were waited for.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one job more."""
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.waited += outcome.waited


class Pipeline:
    """Runs cases with an executor and a cache; `cache` None starts afresh and keeps nothing past the run."""

    def __init__(self, executor: Executor, cache: Cache | None) -> None:
        self._executor = executor
        self._stack = ExitStack()
        self._reads_cache = cache is not None
        self._cache = cache or Cache(self._stack.enter_context(temporary()))

    def close(self) -> None:
        """End the workers and drop what was kept for this run only."""
        self._executor.close()
        self._stack.close()

    def run(self, file: SpecFile, case: Case, labels: Sequence[str], watch: Watch, least_s: float = 0.0) -> Run:
        """Run one case and measure these budgets of it; times for so many seconds at least."""
        spec = case.spec
        blank = Result(
            spec=file.id, case=case.name, title=spec.title, task=spec.task,
            steps=tuple(step.method for step in spec.compress), environment=environment(),
        )  # fmt: skip
        if not_here := shortfall(spec.requires):
            return Run(blank.model_copy(update={"not_here": not_here}), None)
        spent = Spent()
        try:
            return self._run(file, spec, tuple(labels), watch, blank, least_s, spent)
        except _Failed as failed:
            outcome = failed.outcome
        except Unmeasurable as error:
            outcome = Outcome(failure=Failure(sentence=str(error)))
        except OSError as error:
            outcome = _ended(f"a file could not be read or kept: {error}")
        failure = _relative(outcome.failure, file.root) if outcome.failure is not None else None
        update = {
            "failure": failure, "not_here": outcome.not_here, "seconds": spent.seconds, "waited": spent.waited,
        }  # fmt: skip
        return Run(blank.model_copy(update=update), None)

    def _run(
        self, file: SpecFile, spec: Spec, labels: tuple[str, ...], watch: Watch, blank: Result, least_s: float,
        spent: Spent,
    ) -> Run:  # fmt: skip
        data = address(spec, file.root)
        reference, compressed = self._artifacts(file, spec, data, watch, spent)
        folders = {"float": reference / ARTIFACT, "compressed": compressed / ARTIFACT}
        digests = {side: sealed_digest(folder) for side, folder in folders.items()}
        job = Job(
            stage="measure", spec=spec, root=str(file.root), reference=str(reference), compressed=str(compressed),
            data=data, cache=str(self._cache.folder), labels=labels, least_s=least_s,
        )  # fmt: skip
        alone = tuple(label for label in labels if spec.budgets[label].isolated)
        failures: dict[str, Failure] = {}
        if alone:
            try:
                peaks = self._peaks(job, watch, spent)
                job = job.model_copy(update={"peak_bytes": peaks})
            except _Failed as failed:
                if failed.outcome.failure is None:
                    raise
                # A process of its own that died takes its own budgets with it, and no others.
                failures = dict.fromkeys(alone, failed.outcome.failure)
                job = job.model_copy(update={"labels": tuple(label for label in labels if label not in alone)})
        measured = self._do(job, watch, spent).measured
        if measured is None:
            raise _Failed(_ended("the measure stage left no measurements"))
        for side, folder in folders.items():
            if sealed_digest(folder) != digests[side]:
                raise Unmeasurable(
                    f"the {side} artifact changed while it was measured: what was measured is not what lies there"
                )
        result = blank.model_copy(
            update={
                **{name: getattr(measured, name) for name in type(measured).model_fields},
                "failures": {
                    label: _relative(one, file.root) for label, one in {**measured.failures, **failures}.items()
                },
                "artifact": digests["compressed"],
                "float_model": _float_model(spec, file.root),
                "seconds": spent.seconds,
                "waited": spent.waited,
            }
        )
        return Run(result, compressed / ARTIFACT)

    def _artifacts(self, file: SpecFile, spec: Spec, data: str | None, watch: Watch, spent: Spent) -> tuple[Path, Path]:
        """The folders of both artifacts; compresses what the cache does not hold."""
        watch("looking for artifacts in the cache", 0.0)
        reference_key, compressed_key = both = artifact_keys(spec, file.root, data)
        reference, compressed = self._cache.get(reference_key), self._cache.get(compressed_key)
        if reference is None or compressed is None:
            with ExitStack() as stack:
                staged = [
                    stack.enter_context(_existing(entry) if entry is not None else self._cache.put(key, beside=both))
                    for key, entry in ((reference_key, reference), (compressed_key, compressed))
                ]
                job = Job(
                    stage="compress", spec=spec, root=str(file.root),
                    reference=str(staged[0]), compressed=str(staged[1]),
                )  # fmt: skip
                self._do(job, watch, spent)
                # What was read meanwhile may be another checkpoint or other data than the addresses are of.
                if artifact_keys(spec, file.root, address(spec, file.root)) != both:
                    raise Unmeasurable("the model, the data or a file of a step changed while it was compressed: again")
            reference, compressed = self._cache.get(reference_key), self._cache.get(compressed_key)
        else:
            spent.seconds["compress"] = 0.0
        if reference is None or compressed is None:
            sentence = (
                f"the artifacts could not be kept under {self._cache.folder}: is the disk full, or does another run "
                "clear them away (WEIGHIN_CACHE_GB is the size that is kept)?"
            )
            raise _Failed(_ended(sentence))
        return reference, compressed

    def _peaks(self, job: Job, watch: Watch, spent: Spent) -> dict[str, tuple[int, ...]]:
        """Every reading of each side's memory. The sides take turns: what changes meanwhile moves both."""
        peaks: dict[str, list[int]] = {"reference": [], "compressed": []}
        for _ in range(READINGS):
            for side, read in peaks.items():
                read.append(self._peak(job, side, watch, spent))
        return {side: tuple(read) for side, read in peaks.items()}

    def _peak(self, job: Job, side: str, watch: Watch, spent: Spent) -> int:
        outcome = self._do(job.model_copy(update={"stage": "memory", "side": side}), watch, spent)
        if outcome.peak_bytes is None:
            raise Unmeasurable("the memory worker gave no figure")
        return outcome.peak_bytes

    def _do(self, job: Job, watch: Watch, spent: Spent) -> Outcome:
        outcome = self._executor.run(job, watch)
        spent.add(outcome)
        if outcome.failure is not None or outcome.not_here is not None:
            raise _Failed(outcome)
        return outcome


class _Failed(Exception):
    """Carries the outcome of a job that left nothing to measure up to where the result is made."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def _ended(sentence: str) -> Outcome:
    """Of a job, or of this machine's disk, that left nothing to go on with."""
    return Outcome(failure=Failure(sentence=sentence, kind="ended"))


def artifact_keys(spec: Spec, root: Path, data: str | None) -> tuple[str, str]:
    """The cache addresses of the float and the compressed artifact: everything that decides their bytes.

    Args:
        spec: the case.
        root: the project root.
        data: address of the evaluated samples; None where the spec names none.

    Raises:
        Unmeasurable: a file that the spec names is not there.
    """
    parts = [type(spec.deploy), *([type(spec.data)] if spec.data else [])]
    code = {part.__module__ for part in parts} | _modules(spec.model)
    reference = [
        spec.model.model_dump(mode="json"),
        spec.model.fingerprint(root),
        spec.deploy.model_dump(mode="json"),
        data,
        # The address of what is evaluated leaves out what is calibrated and trained on.
        spec.data.model_dump(mode="json") if spec.data is not None else None,
        software(),
        environment().instruction_sets,
        code_digest("harness.run.compressing", "harness.lowering", *sorted(code)),
    ]
    steps = [
        [step.model_dump(mode="json"), step.fingerprint(root), code_digest(*sorted(_modules(step)))]
        for step in spec.compress
    ]
    measure = spec.measure
    # A step that trains lowers the task's loss.
    task = [spec.task, code_digest(TASKS[spec.task].__module__)]
    return key_of("float", reference), key_of("compressed", reference, steps, task, measure.seed, measure.threads)


def _float_model(spec: Spec, root: Path) -> str:
    """What tells one float model from another: its options, its files, and the project's own code that builds it.

    The code of weighin is left out: a model is the same after an update.
    """
    own = sorted(name for name in _modules(spec.model) if name.partition(".")[0] != __name__.partition(".")[0])
    return key_of("model", spec.model.model_dump(mode="json"), spec.model.fingerprint(root), code_digest(*own))


def _modules(part: Options) -> set[str]:
    """The modules of a part and of those that stand in its options, such as a student's source and architecture."""
    nested = (value for _, value in part if isinstance(value, Options))
    built = part.modules() if isinstance(part, Source) else ()
    return {type(part).__module__, *built}.union(*(_modules(one) for one in nested))


def _relative(failure: Failure, root: Path) -> Failure:
    """The failure with paths below the project root told from there, as a spec writes them."""
    return failure.model_copy(update={"sentence": failure.sentence.replace(f"{root}{os.sep}", "")})


@contextmanager
def _existing(entry: Path) -> Iterator[Path]:
    yield entry
