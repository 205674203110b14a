"""Running a case with one fault in it: the pipeline as it is, on a private copy of the compressed artifact."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import WeighinError
from harness.run import probe
from harness.run.cache import SEAL, Cache
from harness.run.compressing import ARTIFACT
from harness.run.executor import Executor, Watch
from harness.run.job import Job, Outcome
from harness.run.lock import machine
from harness.run.mutation import mutation
from harness.run.pipeline import Pipeline, Run, Spent
from harness.spec.load import Case, SpecFile
from harness.spec.schema import Spec


def mutate(job: Job, progress: Callable[[str], None]) -> None:
    """The `mutate` stage: make the compressed artifact wrong.

    Where it is the compressor that is wrong, the model in memory gave the wrong answers too: they are kept beside the
    artifact, so that the check of what was reloaded against what was saved is not what catches it.
    """
    fault, compressed, reference = mutation(job.mutant), Path(job.compressed), Path(job.reference)
    with machine(alone=False, progress=progress):
        progress(f"making the artifact wrong: {job.mutant}")
        fault.artifact(compressed, reference, job.spec)
        if fault.compresses_wrongly:
            inputs, _ = probe.read(compressed)
            runner = job.spec.deploy.load(compressed / ARTIFACT, job.spec.measure.threads)
            probe.write(compressed, inputs, probe.sample_by_sample(runner, inputs))


class NotMade(WeighinError):
    """A mutant could not be made of this artifact; this is no verdict of the gate, and no catch."""


class MutatingPipeline(Pipeline):
    """A pipeline whose measurements carry a fault. It takes artifacts and answers from the cache and leaves none there.

    Args:
        executor: runs the jobs.
        cache: where the artifacts are; what it lacks is compressed and kept as ever, without the fault.
        scratch: a folder for mutated artifacts.
    """

    def __init__(self, executor: Executor, cache: Cache | None, scratch: Path) -> None:
        super().__init__(executor, cache)
        self._scratch = scratch
        self._mutant = ""

    def run_mutated(
        self, file: SpecFile, case: Case, labels: Sequence[str], mutant: str, watch: Watch, least_s: float = 0.0
    ) -> Run:
        """Run one case with this mutant in it. The artifact does not outlive the call."""
        self._mutant = mutant
        try:
            return Run(self.run(file, case, labels, watch, least_s).result, None)
        finally:
            self._mutant = ""
            shutil.rmtree(self._scratch / "artifacts", ignore_errors=True)

    def _artifacts(self, file: SpecFile, spec: Spec, data: str | None, watch: Watch, spent: Spent) -> tuple[Path, Path]:
        reference, original = super()._artifacts(file, spec, data, watch, spent)
        if not self._mutant:
            return reference, original
        (self._scratch / "artifacts").mkdir(parents=True, exist_ok=True)
        compressed = Path(tempfile.mkdtemp(dir=self._scratch / "artifacts"))
        shutil.copytree(original, compressed, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SEAL))
        job = Job(
            stage="mutate", spec=spec, root=str(file.root), reference=str(reference), compressed=str(compressed),
        )  # fmt: skip
        outcome = self._executor.run(job.model_copy(update={"mutant": self._mutant}), watch)
        if why_not := outcome.not_here or (outcome.failure.sentence if outcome.failure else ""):
            raise NotMade(why_not)
        return reference, compressed

    def _do(self, job: Job, watch: Watch, spent: Spent) -> Outcome:
        if self._mutant and job.stage != "compress":
            job = job.model_copy(update={"mutant": self._mutant})
        return super()._do(job, watch, spent)
