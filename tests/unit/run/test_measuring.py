"""A bench of real parts in this process, and every way in which its evaluation can mean nothing."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.base import Batch
from harness.data.image_files import ImageFiles
from harness.errors import ArtifactError, DataError, NotHere, Unforeseen, Unmeasurable
from harness.judge.baseline import accept
from harness.judge.regression import compare
from harness.judge.verdict import State
from harness.measurement import Exact, Pairs
from harness.methods.quantization.float16 import Float16
from harness.metrics.base import METRICS
from harness.metrics.top1 import Top1
from harness.run import lock, measuring, probe
from harness.run.bench import LocalBench
from harness.run.cache import Cache
from harness.run.compressing import ARTIFACT, compress
from harness.run.failing import failure_of
from harness.run.job import Job
from harness.run.measuring import measure
from harness.run.samples import address
from harness.runtimes.torch import TorchRunner
from harness.spec.schema import Spec
from harness.tasks.base import TASKS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

EVALUATED = 80
Progress = Callable[[str], None]


def spec(**changes: Any) -> Spec:
    return Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {
                "source": "python",
                "factory": "harness.zoo.lenet:lenet5",
                "arguments": {"image_size": 16, "classes": 2, "channels": 3},
            },
            "data": {"source": "folder", "path": "data", "image_size": 16, "calibration": 8},
            "compress": [{"method": "float16"}],
            "budgets": {"size_mb": {"max_ratio": 0.6}, "top1": {"max_drop": 0.2}},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A project with random images of two classes, and both artifacts of an untrained LeNet."""
    root = tmp_path_factory.mktemp("project")
    pixels = np.random.default_rng(0)
    for place, count in (("evaluation", EVALUATED), ("train", 16)):
        for index in range(count):
            folder = root / "data" / place / f"class{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    one = spec()
    assert one.data is not None
    job = Job(
        stage="compress", spec=one, root=str(root), reference=str(root / "float"), compressed=str(root / "small"),
        data=address(one, root), labels=("size_mb", "top1"),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        compress(job, lambda text: None)
    return job.model_copy(update={"stage": "measure"})


@pytest.fixture
def job(compressed: Job, tmp_path: Path) -> Job:
    """The same, in a copy that may be damaged."""
    root = tmp_path / "project"
    shutil.copytree(compressed.root, root)
    places = {"root": str(root), "reference": str(root / "float"), "compressed": str(root / "small")}
    return compressed.model_copy(update=places)


@pytest.fixture
def bench(job: Job) -> Iterator[LocalBench]:
    threads = torch.get_num_threads()
    yield LocalBench(job, lambda text: None)
    torch.set_num_threads(threads)


def taken() -> bool:
    """Whether somebody holds the machine, so that a latency measurement would have to wait."""
    with lock.lock_path().open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_no_latency_is_measured_while_artifacts_are_reloaded_and_metrics_compute(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHIN_LOCK", str(tmp_path / "own.lock"))
    held: list[bool] = []
    read = probe.read

    def noting(folder: Path) -> Any:
        held.append(taken())
        return read(folder)

    monkeypatch.setattr(probe, "read", noting)
    bench = LocalBench(job, lambda text: None)
    # Once a side to probe it, and once to count its operations, when these are asked for.
    assert held == [True] * 2
    assert not taken()
    assert bench.reference.macs == bench.compressed.macs > 0
    assert held == [True] * 4
    with bench.working():
        assert taken()


class Faulty(ImageFiles):
    """The evaluation images, with a fault."""

    stop: int = EVALUATED
    shuffled_from: int = 10**6
    walks = 0

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        self.walks += 1
        seen = 0
        for batch in super().batches(16, 7 if self.walks >= self.shuffled_from else None):
            if seen >= self.stop:
                return
            seen += len(batch.targets)
            yield batch


def with_split(bench: LocalBench, **fault: int) -> LocalBench:
    whole = bench._dataset.evaluation
    assert isinstance(whole, ImageFiles)
    faulty = Faulty(whole.root, whole.names, whole.labels, whole.preprocessing)
    vars(faulty).update(fault)
    bench.__dict__["_dataset"] = replace(bench._dataset, evaluation=faulty)
    return bench


class Wrapped:
    """A runner whose outputs are tampered with; `calls` counts them."""

    def __init__(self, runner: Any, tamper: Callable[[Any, int], Any]) -> None:
        self._runner, self._tamper, self.calls = runner, tamper, 0

    def __call__(self, inputs: Any) -> Any:
        self.calls += 1
        return tuple(self._tamper(output, self.calls) for output in self._runner(inputs))


def test_a_sound_bench_evaluates_every_sample_once(bench: LocalBench) -> None:
    found = bench.evaluation()
    assert found.targets.shape == (EVALUATED,)
    assert found.reference.keys() == {"ranked", "probability"}
    assert np.unique(found.units).size == EVALUATED
    assert sorted(found.names) == sorted(set(found.names))


def test_the_probability_of_the_true_class_travels_beside_what_is_measured(job: Job) -> None:
    found = measure(job, lambda text: None)
    # As it comes from a worker.
    scores = type(found).model_validate_json(found.model_dump_json()).scores
    assert scores is not None
    bench = LocalBench(job, lambda text: None)
    targets, split = bench.evaluation().targets, bench._dataset.evaluation
    assert split is not None
    for side in ("reference", "compressed"):
        runner = bench._runners[side]
        outputs = [runner(batch.inputs)[0].numpy().copy() for batch in split.batches(64)]
        powers = np.exp(np.concatenate(outputs).astype(np.float64))
        expected = powers[np.arange(EVALUATED), targets] / powers.sum(axis=1)
        kept = getattr(scores, side)
        assert (kept.dtype, kept.shape) == (np.float32, (EVALUATED,))
        np.testing.assert_allclose(kept, expected, rtol=1e-6)
    assert not np.array_equal(scores.reference, scores.compressed)
    # Nothing is evaluated for a size.
    assert measure(job.model_copy(update={"labels": ("size_mb",)}), lambda text: None).scores is None


def test_cached_answers_have_their_scores(job: Job, tmp_path: Path) -> None:
    job = job.model_copy(update={"cache": str(tmp_path / "cache")})
    told: list[str] = []
    first = measure(job, lambda text: None).scores
    again = measure(job, told.append).scores
    assert not any(text.startswith("evaluating") for text in told)
    assert first is not None
    assert again is not None
    assert np.array_equal(first.reference, again.reference)
    assert np.array_equal(first.compressed, again.compressed)


@pytest.mark.parametrize("score", ["", "loudness"])
def test_a_task_that_scores_no_sample_leaves_no_scores(
    bench: LocalBench, monkeypatch: pytest.MonkeyPatch, score: str
) -> None:
    monkeypatch.setattr(TASKS["image-classification"], "score", score)
    bench.evaluation()
    assert bench.scores is None
    assert len(bench.names) == EVALUATED


def test_a_truncated_evaluation_is_refused(bench: LocalBench) -> None:
    with pytest.raises(Unmeasurable, match=r"the evaluation of the float model saw 48 of 80 samples"):
        with_split(bench, stop=48).evaluation()


def test_another_order_for_the_other_model_is_refused(bench: LocalBench) -> None:
    with pytest.raises(Unmeasurable, match="were not given the same samples in the same order"):
        with_split(bench, shuffled_from=2).evaluation()


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (lambda out, call: out[:-1], "left 7[58] rows of 'ranked' for 80 samples"),
        (lambda out, call: out / 0, "the float model answers with NaN or infinity after 0 of 80 samples"),
        (
            lambda out, call: out * (1 + call / 100),
            "float model gives different outputs for the same input",
        ),
        (lambda out, call: out[:, 0], r"image-classification needs logits of shape \(batch, classes\)"),
    ],
    ids=["fewer outputs", "not a number", "drifting", "no logits"],
)
def test_answers_that_mean_nothing_are_refused(
    bench: LocalBench, tamper: Callable[[Any, int], Any], sentence: str
) -> None:
    bench._runners["reference"] = Wrapped(bench._runners["reference"], tamper)  # type: ignore[assignment]
    with pytest.raises(Unmeasurable, match=sentence):
        bench.evaluation()


@pytest.mark.parametrize("side", ["float", "compressed"])
def test_an_artifact_that_is_gone_is_told(job: Job, side: str) -> None:
    shutil.rmtree(Path(job.reference if side == "float" else job.compressed) / ARTIFACT)
    with pytest.raises(ArtifactError, match=f"the {side} artifact is gone: was the cache cleared"):
        LocalBench(job, lambda text: None)


def test_answers_of_an_artifact_that_another_run_cleared_away_are_kept_under_what_was_loaded(job: Job) -> None:
    """Not under the address of no artifact at all, where any other model's would be looked for."""
    bench = LocalBench(job, lambda text: None)
    loaded = dict(bench._digests["reference"])
    shutil.rmtree(Path(job.reference) / ARTIFACT)
    assert bench._digests["reference"] == loaded != {}
    bench.evaluation()
    with pytest.raises(ArtifactError, match="the float artifact is gone"):
        LocalBench(job, lambda text: None)


def test_a_reloaded_artifact_that_answers_otherwise_is_refused(job: Job) -> None:
    batch, outputs = probe.read(Path(job.compressed))
    probe.write(Path(job.compressed), batch, [outputs[0][::-1]])
    with pytest.raises(ArtifactError, match="the reloaded compressed artifact gives other outputs"):
        LocalBench(job, lambda text: None)


def test_outputs_are_held_to_one_another_in_the_parts_that_the_task_makes(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    parts = TASKS["image-classification"].parts
    monkeypatch.setattr(
        TASKS["image-classification"], "parts", lambda self, outputs: asked.append(1) or parts(self, outputs)
    )
    places = {"reference": str(tmp_path / "a"), "compressed": str(tmp_path / "b"), "stage": "compress"}
    compress(job.model_copy(update=places), lambda text: None)
    # Of each side: asked twice, and traced, with one batch and another.
    assert len(asked) == 2 * (2 + 4)
    asked.clear()
    bench = LocalBench(job, lambda text: None)
    # Of each side: asked twice, and held to what was saved.
    assert len(asked) == 2 * (2 + 2)
    asked.clear()
    bench.evaluation()
    assert len(asked) == 2 * 2


def test_data_that_changed_after_compressing_is_refused(job: Job) -> None:
    repaint(job)
    with pytest.raises(DataError, match="the data changed after the model was compressed"):
        LocalBench(job, lambda text: None).evaluation()


def test_data_that_changes_between_the_two_models_is_refused_and_never_cached(job: Job, tmp_path: Path) -> None:
    job = job.model_copy(update={"cache": str(tmp_path / "cache")})

    def change(text: str) -> None:
        if text == "evaluating the compressed model, 64 of 80":
            repaint(job)

    with pytest.raises(DataError, match="the data changed while the models were evaluated on it"):
        LocalBench(job, change).evaluation()
    # The float model had been evaluated before the change, and its answers stand.
    assert len(list((tmp_path / "cache" / "entries").iterdir())) == 1


def repaint(job: Job) -> None:
    Image.new("RGB", (16, 16)).save(Path(job.root) / "data" / "evaluation" / "class0" / "0.png")


def test_cached_answers_of_another_address_or_length_are_not_taken(job: Job, tmp_path: Path) -> None:
    job = job.model_copy(update={"cache": str(tmp_path / "cache")})
    sound = LocalBench(job, lambda text: None).evaluation()
    cache = Cache(tmp_path / "cache")
    first, second = sorted((tmp_path / "cache" / "entries").iterdir())

    def evaluated() -> list[str]:
        told: list[str] = []
        found = LocalBench(job, told.append).evaluation()
        assert all(
            np.array_equal(getattr(found, side)["ranked"], getattr(sound, side)["ranked"])
            for side in ("reference", "compressed")
        )
        return sorted({text.partition(" model")[0] for text in told if text.startswith("evaluating")})

    assert evaluated() == []
    content = dict(np.load(first / "answers.npz"))
    # Whole and sealed, and yet the answers of another artifact, or to fewer samples.
    for foreign in (dict(np.load(second / "answers.npz")), {**content, "ranked": content["ranked"][:-1]}):
        shutil.rmtree(first)
        with cache.put(first.name) as folder:
            np.savez(folder / "answers.npz", **foreign)
        assert len(evaluated()) == 1


def test_answers_under_other_options_of_the_runtime_are_not_taken(job: Job, tmp_path: Path) -> None:
    evaluated = []
    for quantized in (False, True, False):
        told: list[str] = []
        one = spec(deploy={"runtime": "openvino", "dynamic_quantization": quantized})
        places = {"reference": str(tmp_path / "float"), "compressed": str(tmp_path / "small")}
        asked = job.model_copy(update={"spec": one, "cache": str(tmp_path / "cache"), **places})
        # The option changes no byte of an artifact: only how it is run.
        if not (tmp_path / "float").exists():
            compress(asked, lambda text: None)
        LocalBench(asked, told.append).evaluation()
        evaluated.append(any(text.startswith("evaluating") for text in told))
    assert evaluated == [True, True, False]


def under(job: Job, **options: Any) -> Job:
    """The same artifacts, asked under other options of the data."""
    one = spec(data={"source": "folder", "path": "data", "image_size": 16, **options})
    return job.model_copy(update={"spec": one, "data": address(one, Path(job.root))})


def agreeing(job: Job, told: Callable[[str], None]) -> Pairs:
    """Whether both models name the same class, a sample."""
    found = LocalBench(job, told).evaluation()
    same = found.reference["ranked"][:, 0] == found.compressed["ranked"][:, 0]
    return Pairs(outcomes_reference=np.ones_like(same), outcomes=same, units=found.units, data=found.data)


def test_another_calibration_leaves_outcomes_comparable_and_another_evaluation_does_not(
    job: Job, tmp_path: Path
) -> None:
    """Cached answers too: they are to what is evaluated."""
    job = job.model_copy(update={"cache": str(tmp_path / "cache")})
    metric = METRICS["agreement"](min=0.5)
    before = agreeing(job, lambda text: None)
    accepted = accept(metric, before, "x86", 0.95)
    grey = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    for options, state, asked in (
        ({"calibration": 4}, State.PASS, False),
        # As many images of the same names, and the models see others.
        ({"calibration": 8, "normalize": grey}, State.INVALID, True),
    ):
        told: list[str] = []
        now = agreeing(under(job, **options), told.append)
        finding = compare(metric, now, accepted, 0.95, "x86")
        assert (finding.state, len(now.outcomes)) == (state, EVALUATED)
        assert ("the baseline was taken on other samples" in finding.text) is (state is State.INVALID)
        assert any(text.startswith("evaluating") for text in told) is asked


@pytest.mark.parametrize(
    ("side", "blank", "what"),
    [
        ("float", {"tensors": ()}, "parameter"),
        ("compressed", {"tensors": ()}, "parameter"),
        ("compressed", {"operators": {}}, "operator"),
    ],
)
def test_a_runtime_that_counts_nothing_is_no_evidence(
    bench: LocalBench, side: str, blank: dict[str, Any], what: str
) -> None:
    name = "reference" if side == "float" else side
    counted = getattr(bench, name)
    setattr(bench, name, replace(counted, evidence=counted.evidence.model_copy(update=blank)))
    assert bench.contradictions() == [f"nothing was counted on the {side} artifact: its runtime reports no {what}"]


def test_a_budget_that_cannot_be_measured_leaves_the_others_alone(job: Job) -> None:
    """An untrained network: its size means something, its accuracy nothing."""
    found = measure(job, lambda text: None)
    assert found.measurements.keys() == {"size_mb"}
    assert "the float model is not proven better than chance" in found.failures["top1"].sentence
    assert np.isclose(found.measurements["size_mb"].ratio(0.95).estimate, 0.5, atol=0.06)


def test_operations_that_cannot_be_counted_cost_the_budgets_that_ask_for_them(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncountable(self: object, inputs: object) -> int:
        raise Unmeasurable("aten::twisted has no formula")

    monkeypatch.setattr(TorchRunner, "macs", uncountable)
    assert measure(job.model_copy(update={"labels": ("size_mb",)}), lambda text: None).failures == {}
    budgets = {"size_mb": {"max_ratio": 0.6}, "macs_g": {"max_ratio": 1.0}, "flops_g": {"max_ratio": 1.0}}
    asked = job.model_copy(update={"spec": spec(budgets=budgets), "labels": tuple(budgets)})
    found = measure(asked, lambda text: None)
    assert found.measurements.keys() == {"size_mb"}
    assert {label: one.sentence for label, one in found.failures.items()} == {
        "macs_g": "aten::twisted has no formula", "flops_g": "aten::twisted has no formula",
    }  # fmt: skip


def test_a_metric_that_is_broken_takes_its_own_budget_and_no_other(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Top1, bench: object) -> None:
        raise KeyError("ranked")

    monkeypatch.setattr(Top1, "measure", broken)
    found = measure(job, lambda text: None)
    assert found.measurements.keys() == {"size_mb"}
    assert found.failures["top1"].sentence == "the metric top1 failed: KeyError: 'ranked'"
    assert 'raise KeyError("ranked")' in found.failures["top1"].log


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory"), NotHere("no GPU")])
def test_want_of_memory_and_of_a_machine_are_of_the_whole_job(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(self: Top1, bench: object) -> None:
        raise error

    monkeypatch.setattr(Top1, "measure", broken)
    with pytest.raises(type(error)):
        measure(job, lambda text: None)


def test_a_step_that_raises_what_it_does_not_explain_keeps_the_place(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Float16, subject: object, workshop: object) -> None:
        raise KeyError("conv9")

    monkeypatch.setattr(Float16, "apply", broken)
    places = {"reference": str(tmp_path / "a"), "compressed": str(tmp_path / "b"), "stage": "compress"}
    with pytest.raises(Unforeseen, match=r"^step 1 of 1: float16: KeyError: 'conv9'$") as raised:
        compress(job.model_copy(update=places), lambda text: None)
    failure = failure_of("the compress stage", raised.value)
    assert failure.sentence == "the compress stage failed: step 1 of 1: float16: KeyError: 'conv9'"
    assert 'raise KeyError("conv9")' in failure.log


@pytest.mark.parametrize("classes", [3, 9])
def test_outputs_that_are_not_the_classes_of_the_data_are_refused_before_anything_is_written(
    job: Job, tmp_path: Path, classes: int
) -> None:
    arguments = {"image_size": 16, "classes": classes, "channels": 3}
    other = spec(model={"source": "python", "factory": "harness.zoo.lenet:lenet5", "arguments": arguments})
    places = {"reference": str(tmp_path / "a"), "compressed": str(tmp_path / "b"), "spec": other, "stage": "compress"}
    with pytest.raises(Unmeasurable, match=f"the float model has {classes} outputs, and the data has 2 .*`classes:`"):
        compress(job.model_copy(update=places), lambda text: None)
    assert not (tmp_path / "a").exists()
    listed = spec(
        model=other.model.model_dump(),
        data={"source": "folder", "path": "data", "image_size": 16, "calibration": 8,
              "classes": [f"class{index}" for index in range(classes)]},
    )  # fmt: skip
    compress(job.model_copy(update={**places, "spec": listed}), lambda text: None)


def test_overlapping_splits_are_refused_by_content(job: Job, tmp_path: Path) -> None:
    data = Path(job.root) / "data"
    shutil.copy(data / "evaluation" / "class1" / "1.png", data / "train" / "class1" / "renamed.png")
    places = {"reference": str(tmp_path / "a"), "compressed": str(tmp_path / "b"), "stage": "compress"}
    with pytest.raises(DataError, match=r"train/class1/renamed.png is also evaluation sample evaluation/class1/1.png"):
        compress(job.model_copy(update=places), lambda text: None)


def test_fewer_samples_than_are_to_be_compared_are_refused(bench: LocalBench) -> None:
    with pytest.raises(
        Unmeasurable, match=r"81 samples .*, and there are 80: give this budget fewer \(`windows: 80`\), or"
    ):
        bench.comparison(EVALUATED + 1)


def test_what_is_compared_comes_with_its_truth(bench: LocalBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS["image-classification"], "compared", lambda self, batch, one, other: {})
    found = bench.comparison(60)
    assert found.targets.tolist() == bench.evaluation().targets[:60].tolist()
    assert (len(found.units), found.rows) == (60, {})


def test_what_is_compared_and_never_evaluated_is_named_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec may bound nothing but the divergence on the first windows: its report names them."""
    monkeypatch.setattr(TASKS["image-classification"], "compared", lambda self, batch, one, other: {})

    def compared(self: Top1, bench: LocalBench) -> Exact:
        return Exact(measured=len(bench.comparison(60).units), measured_reference=1)

    monkeypatch.setattr(Top1, "measure", compared)
    found = measure(job, lambda text: None)
    assert found.failures == {}
    assert found.measurements["top1"].value == 60
    assert (len(found.names), len(set(found.names))) == (EVALUATED, EVALUATED)
    # Nothing is evaluated for a size.
    assert measure(job.model_copy(update={"labels": ("size_mb",)}), lambda text: None).names == ()


def test_a_stream_that_ends_before_all_were_compared_is_refused(
    bench: LocalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TASKS["image-classification"]
    monkeypatch.setattr(task, "compared", lambda self, batch, one, other: {})
    with pytest.raises(Unmeasurable, match="60 samples were to be compared, and 32 came"):
        with_split(bench, stop=32).comparison(60)


def test_a_prompt_longer_than_every_window_is_refused(bench: LocalBench) -> None:
    # Images, as windows of 3 tokens.
    with pytest.raises(Unmeasurable, match="no evaluation window holds the 4 tokens of a prompt"):
        bench.generation("decode", 4, lambda figure: ())


def test_memory_of_which_the_system_does_not_tell_is_unmeasurable() -> None:
    with pytest.raises(Unmeasurable, match="this system does not tell VmNothing"):
        measuring._resident("VmNothing")


@pytest.mark.parametrize(("peak", "grown"), [(900, None), (901, 401), (500, 0)])
def test_memory_beneath_a_peak_that_cannot_be_forgotten_is_unmeasurable(
    bench: LocalBench, compressed: Job, monkeypatch: pytest.MonkeyPatch, peak: int, grown: int | None
) -> None:
    """500 MB after the imports, which once took 900 (or 500): what a model takes beneath that is not seen."""
    before = min(900, peak) << 20
    told = iter([500 << 20, before, peak << 20])
    monkeypatch.setattr(measuring, "_resident", lambda field: next(told))
    if grown is not None:
        assert measuring.peak_bytes(compressed, lambda text: None) == grown << 20
        return
    with pytest.raises(Unmeasurable, match="does not let the peak of the imports be forgotten, 944 MB"):
        measuring.peak_bytes(compressed, lambda text: None)


def test_what_both_sides_need_is_there_before_either_is_measured(
    bench: LocalBench, compressed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    resident = measuring._resident
    monkeypatch.setattr(type(compressed.spec.deploy), "warm", lambda self, folder: told.append(folder))
    monkeypatch.setattr(measuring, "_resident", lambda field: told.append(field) or resident(field))
    measuring.peak_bytes(compressed, lambda text: None)
    folders = [Path(compressed.reference) / ARTIFACT, Path(compressed.compressed) / ARTIFACT]
    assert told[:3] == [*folders, "VmRSS"]


def test_a_split_that_became_empty_is_refused(bench: LocalBench) -> None:
    bench.__dict__["_dataset"] = replace(bench._dataset, evaluation=None)
    with pytest.raises(DataError, match="the evaluation split is empty: nothing can be measured on it"):
        bench.evaluation()
