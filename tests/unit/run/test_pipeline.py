"""The straight line of a case, with an executor that runs no process: what it makes of what workers leave."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.code import code_digest
from harness.evidence import Evidence
from harness.measurement import Exact
from harness.methods.base import Method
from harness.run import worker
from harness.run.cache import Cache
from harness.run.compressing import ARTIFACT
from harness.run.executor import Watch, _doing
from harness.run.job import Failure, Job, Measured, Outcome
from harness.run.pipeline import READINGS, Pipeline, Run, _modules, artifact_keys
from harness.run.worker import _announcer
from harness.sources.zoo import Zoo
from harness.spec.load import Case, load

NOTHING = Evidence(operators={}, tensors=())
SPEC = """
version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {size_mb: {max: 1}}
"""


class Scripted:
    """An executor that writes two artifacts of one file and measures them as the test says."""

    def __init__(self, measured: Callable[[Job], Outcome]) -> None:
        self._measured, self.jobs = measured, list[Job]()

    def run(self, job: Job, watch: Watch) -> Outcome:
        self.jobs.append(job)
        if job.stage == "measure":
            return self._measured(job)
        for folder in (job.reference, job.compressed):
            (Path(folder) / ARTIFACT).mkdir()
            (Path(folder) / ARTIFACT / "model.pt").write_bytes(b"weights")
        return Outcome()

    def close(self) -> None:
        pass


def counted(job: Job, **failures: str) -> Outcome:
    return Outcome(
        measured=Measured(
            measurements={"size_mb": Exact(measured=1.0, measured_reference=2.0)},
            failures={label: Failure(sentence=text) for label, text in failures.items()},
            reference=NOTHING, compressed=NOTHING, contradictions=(), kernels="k",
        )
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "x.yaml").write_text(SPEC)
    return tmp_path


def run(project: Path, measured: Callable[[Job], Outcome]) -> tuple[Run, list[Job]]:
    file, executor = load(project / "specs" / "x.yaml"), Scripted(measured)
    pipeline = Pipeline(executor, Cache(project / "cache"))
    try:
        return pipeline.run(file, file.cases[0], ["size_mb"], lambda doing, seconds: None), executor.jobs
    finally:
        pipeline.close()


def test_both_stages_are_told_the_same_samples(project: Path) -> None:
    found, jobs = run(project, counted)
    assert found.result.failure is None
    assert [job.stage for job in jobs] == ["compress", "measure"]
    assert jobs[1].data is not None


@pytest.mark.parametrize("side", ["float", "compressed"])
def test_an_artifact_that_changes_while_it_is_measured_has_no_figures(project: Path, side: str) -> None:
    def tampered(job: Job) -> Outcome:
        folder = job.reference if side == "float" else job.compressed
        (Path(folder) / ARTIFACT / "model.pt").write_bytes(b"other weights")
        return counted(job)

    found, _ = run(project, tampered)
    assert found.result.failure is not None
    assert f"the {side} artifact changed while it was measured" in found.result.failure.sentence
    assert found.artifact is None
    assert not found.result.measurements


def test_sentences_tell_paths_from_the_project_root(project: Path) -> None:
    def lost(job: Job) -> Outcome:
        return Outcome(failure=Failure(sentence=f"no weights at {Path(job.root) / 'weights' / 'mine.pt'}"))

    found, _ = run(project, lost)
    assert found.result.failure == Failure(sentence="no weights at weights/mine.pt")
    found, _ = run(project, lambda job: counted(job, top1=f"no directory at {project}/data"))
    assert found.result.failures["top1"].sentence == "no directory at data"


def test_a_file_that_cannot_be_read_is_a_failure_of_its_case(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(source: Zoo, root: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(root / "weights" / "mine.pt"))

    monkeypatch.setattr(Zoo, "fingerprint", unreadable)
    found, jobs = run(project, counted)
    assert found.result.failure is not None
    assert "a file could not be read or kept: [Errno 13] Permission denied: 'weights/mine.pt'" in (
        found.result.failure.sentence
    )
    assert jobs == []


def test_a_worker_that_leaves_no_measurements_is_no_result(project: Path) -> None:
    found, _ = run(project, lambda job: Outcome())
    assert found.result.failure == Failure(sentence="the measure stage left no measurements", kind="ended")


def test_until_a_worker_speaks_it_is_starting(tmp_path: Path) -> None:
    outcome = tmp_path / "1.outcome"
    assert _doing(outcome) == ("starting a worker", 0.0)
    _announcer(outcome)("reading data")
    doing, waited = _doing(outcome)
    assert (doing, waited >= 0) == ("reading data", True)


MEMORY = SPEC.replace("budgets: {size_mb: {max: 1}}", "budgets: {size_mb: {max: 1}, peak_memory_mb: {max_ratio: 1}}")


def test_memory_is_read_in_three_processes_a_side_that_take_turns(project: Path) -> None:
    (project / "specs" / "x.yaml").write_text(MEMORY)
    sides: list[str] = []

    class Counting(Scripted):
        def run(self, job: Job, watch: Watch) -> Outcome:
            if job.stage == "memory":
                sides.append(job.side)
                return Outcome(peak_bytes=10 * len(sides))
            return super().run(job, watch)

    file, executor = load(project / "specs" / "x.yaml"), Counting(counted)
    pipeline = Pipeline(executor, Cache(project / "cache"))
    pipeline.run(file, file.cases[0], ["size_mb", "peak_memory_mb"], lambda doing, seconds: None)
    pipeline.close()
    assert sides == ["reference", "compressed"] * 3
    assert executor.jobs[-1].peak_bytes == {"reference": (10, 30, 50), "compressed": (20, 40, 60)}
    # As plain JSON, which is how a worker gets it.
    assert Job.model_validate_json(executor.jobs[-1].model_dump_json()).peak_bytes == executor.jobs[-1].peak_bytes


def test_a_memory_process_that_dies_after_others_leaves_no_figure_of_those(project: Path) -> None:
    (project / "specs" / "x.yaml").write_text(MEMORY)
    outcomes = iter([Outcome(peak_bytes=5)] * 3 + [Outcome(failure=Failure(sentence="died of SIGKILL"))])

    class Dying(Scripted):
        def run(self, job: Job, watch: Watch) -> Outcome:
            return next(outcomes) if job.stage == "memory" else super().run(job, watch)

    file, executor = load(project / "specs" / "x.yaml"), Dying(counted)
    pipeline = Pipeline(executor, Cache(project / "cache"))
    found = pipeline.run(file, file.cases[0], ["size_mb", "peak_memory_mb"], lambda doing, seconds: None).result
    pipeline.close()
    assert (executor.jobs[-1].labels, executor.jobs[-1].peak_bytes) == (("size_mb",), {})
    assert found.failures == {"peak_memory_mb": Failure(sentence="died of SIGKILL")}


def test_a_memory_process_that_dies_takes_its_own_budget_and_no_other(project: Path) -> None:
    (project / "specs" / "x.yaml").write_text(MEMORY)
    asked: list[tuple[str, ...]] = []

    class Dying(Scripted):
        def run(self, job: Job, watch: Watch) -> Outcome:
            if job.stage == "memory":
                return Outcome(failure=Failure(sentence="the memory stage died of SIGKILL"))
            if job.stage == "measure":
                asked.append(job.labels)
            return super().run(job, watch)

    file = load(project / "specs" / "x.yaml")
    pipeline = Pipeline(Dying(counted), Cache(project / "cache"))
    found = pipeline.run(file, file.cases[0], ["size_mb", "peak_memory_mb"], lambda doing, seconds: None).result
    pipeline.close()
    assert asked == [("size_mb",)]
    assert set(found.measurements) == {"size_mb"}
    assert found.failures == {"peak_memory_mb": Failure(sentence="the memory stage died of SIGKILL")}


def test_what_every_stage_waited_for_the_machine_is_counted(project: Path) -> None:
    (project / "specs" / "x.yaml").write_text(MEMORY)

    class Waiting(Scripted):
        def run(self, job: Job, watch: Watch) -> Outcome:
            if job.stage == "memory":
                return Outcome(peak_bytes=5, waited=0.25, seconds={"memory": 1.0})
            return super().run(job, watch).model_copy(update={"waited": 1.5 if job.stage == "compress" else 4.0})

    def dying(job: Job) -> Outcome:
        return Outcome(failure=Failure(sentence="the measure stage died of SIGKILL"))

    file = load(project / "specs" / "x.yaml")
    for measured in (counted, dying):
        pipeline = Pipeline(Waiting(measured), None)
        found = pipeline.run(file, file.cases[0], ["size_mb", "peak_memory_mb"], lambda doing, seconds: None).result
        pipeline.close()
        assert (found.waited, found.seconds["memory"]) == (1.5 + 2 * READINGS * 0.25 + 4.0, 2.0 * READINGS)


def test_a_worker_tells_what_it_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(
        stage="mutate", spec=load_case(tmp_path, SPEC).spec, root=str(tmp_path), reference="a", compressed="b",
        mutant="no-such-mutant",
    )  # fmt: skip
    (tmp_path / "1.job").write_text(job.model_dump_json())
    monkeypatch.setattr("harness.run.worker._settle", lambda job: None)
    monkeypatch.setattr("harness.run.worker.waited", lambda: 2.5)
    worker.run(tmp_path / "1.job", tmp_path / "1.outcome")
    outcome = Outcome.model_validate_json((tmp_path / "1.outcome").read_text())
    assert outcome.failure is not None
    assert outcome.waited == 2.5


def load_case(root: Path, text: str) -> Case:
    (root / "specs").mkdir(exist_ok=True)
    (root / "specs" / "x.yaml").write_text(text)
    return load(root / "specs" / "x.yaml").cases[0]


def keys(project: Path, text: str) -> tuple[str, str]:
    (project / "specs" / "x.yaml").write_text(text)
    return artifact_keys(load(project / "specs" / "x.yaml").cases[0].spec, project, None)


def test_the_code_of_the_task_decides_what_a_step_makes_and_not_the_float_model(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(project, SPEC)
    real = code_digest
    monkeypatch.setattr(
        "harness.run.pipeline.code_digest",
        lambda *modules: "changed" if "harness.tasks.image_classification" in modules else real(*modules),
    )
    after = keys(project, SPEC)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_the_code_of_a_source_that_stands_in_a_step_counts(project: Path) -> None:
    student = "{source: zoo, name: lenet5-digits}"
    step = load_step(project, f"{{method: distillation, student: {student}}}")
    assert _modules(step) == {
        "harness.methods.distillation.distillation", "harness.sources.zoo", "harness.training", "harness.zoo.lenet",
    }  # fmt: skip


def test_the_code_of_an_architecture_counts_whose_weights_stayed_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another activation, or another export, fits the same weights."""
    before, real = keys(project, SPEC), code_digest
    monkeypatch.setattr(
        "harness.run.pipeline.code_digest",
        lambda *modules: "changed" if "harness.zoo.lenet" in modules else real(*modules),
    )
    after = keys(project, SPEC)
    assert (before[0] == after[0], before[1] == after[1]) == (False, False)


def test_what_is_calibrated_on_decides_both_artifacts(project: Path) -> None:
    """The probe and the trace of the float one are of calibration samples too."""
    data = "data: {source: digits, calibration: %s}"
    few, many = (keys(project, SPEC.replace("data: {source: digits}", data % count)) for count in (64, 65))
    assert (few[0] == many[0], few[1] == many[1]) == (False, False)


def load_step(project: Path, step: str) -> Method:
    (project / "specs" / "x.yaml").write_text(SPEC.replace("{method: float16}", step))
    return load(project / "specs" / "x.yaml").cases[0].spec.compress[0]


def test_a_memory_worker_that_left_no_figure_is_told(project: Path) -> None:
    (project / "specs" / "x.yaml").write_text(MEMORY)

    class Silent(Scripted):
        def run(self, job: Job, watch: Watch) -> Outcome:
            return Outcome() if job.stage == "memory" else super().run(job, watch)

    file = load(project / "specs" / "x.yaml")
    pipeline = Pipeline(Silent(counted), Cache(project / "cache"))
    found = pipeline.run(file, file.cases[0], ["size_mb", "peak_memory_mb"], lambda doing, seconds: None).result
    pipeline.close()
    assert found.failure == Failure(sentence="the memory worker gave no figure")


def test_what_changes_while_it_is_compressed_is_kept_under_no_address(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that the worker read may be another checkpoint's than the address is of."""
    prints = iter(["before", "after"])
    monkeypatch.setattr(Zoo, "fingerprint", lambda self, root: next(prints))
    found, jobs = run(project, counted)
    assert found.result.failure is not None
    assert "changed while it was compressed" in found.result.failure.sentence
    assert [job.stage for job in jobs] == ["compress"]
    assert list(project.glob("cache/entries/*")) == []


def test_artifacts_that_the_cache_does_not_keep_are_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "get", lambda self, key: None)
    found, _ = run(project, counted)
    assert found.result.failure is not None
    assert found.result.failure.sentence.startswith("the artifacts could not be kept under ")
    # No fault of what was compressed: `prove` counts it as no catch.
    assert found.result.failure.kind == "ended"
