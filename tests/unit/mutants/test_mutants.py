"""What each mutant does, to the number, and which budgets claim it."""

import json
import math
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from harness.data.base import Batch, Split
from harness.errors import Unmeasurable
from harness.evidence import Evidence
from harness.forms import Form
from harness.judge.baseline import CaseBaseline, Machine, accept
from harness.judge.case import verdict
from harness.judge.verdict import State
from harness.measurement import Readings, Totals
from harness.metrics.base import METRICS
from harness.mutants.base import mutants
from harness.run.environment import environment
from harness.run.job import Measured
from harness.run.mutation import NONE, mutation
from harness.runtimes.base import Runtime

MUTANTS = mutants()
LATENCIES = {"latency-1": 0.01, "latency-3": 0.03, "latency-10": 0.10}


def test_the_faults_are_these_and_those_with_a_number_stand_in_its_order():
    assert list(MUTANTS) == [
        "dropped-metric", "halved-data", "latency-1", "latency-3", "latency-10", "no-op", "other-data", "padded-file",
        "shuffled-layer", "stale-baseline", "truncated-evaluation", "wrong-class",
    ]  # fmt: skip
    assert all(one.what and (one.reach == ("times",)) is (name in LATENCIES) for name, one in MUTANTS.items())


def test_listing_them_brings_no_torch():
    code = "import sys; from harness.mutants.base import mutants; mutants(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_ordinary_job_has_a_mutation_that_changes_nothing():
    assert mutation("") is NONE
    split, answers = Digits(), {"ranked": np.zeros((2, 2))}

    def call() -> object:
        return None

    assert NONE.split(split) is split
    assert NONE.answers(answers) is answers
    assert NONE.call(call) is call


class Digits(Split):
    """Five samples, each told by its number."""

    def __len__(self) -> int:
        return 5

    def batches(self, size, shuffle=None):
        rows = np.arange(5)
        for start in range(0, 5, size):
            part = rows[start : start + size]
            yield Batch((part,), part * 10)

    def digests(self):
        return (bytes([index]) for index in range(5))


@pytest.mark.parametrize(("name", "stated"), [("truncated-evaluation", 5), ("halved-data", 3)])
@pytest.mark.parametrize("size", [1, 2, 64])
def test_half_of_the_samples_go_by_and_only_one_mutant_says_so(name, stated, size):
    split = MUTANTS[name].split(Digits())
    assert [row for batch in split.batches(size) for row in batch.targets] == [0, 10, 20]
    assert [row for batch in split.batches(size) for row in batch.inputs[0]] == [0, 1, 2]
    assert len(split) == len(split.names) == len(split.units) == len(list(split.digests())) == stated


def test_the_lowest_class_is_struck_from_every_ranking_and_the_others_move_up():
    answers = {"ranked": np.array([[3, 1], [1, 3], [2, 3]], np.int16), "targets": np.array([3, 1, 2])}
    now = MUTANTS["wrong-class"].answers(answers)
    assert now["ranked"].tolist() == [[3, -1], [3, -1], [2, 3]]
    assert now["ranked"].dtype == np.int16
    assert answers["ranked"].tolist() == [[3, 1], [1, 3], [2, 3]]


@pytest.mark.parametrize(("name", "extra"), LATENCIES.items())
def test_a_call_takes_longer_by_its_share(name, extra, monkeypatch):
    now = [0]

    def clock() -> int:
        now[0] += 1
        return now[0]

    monkeypatch.setattr(time, "perf_counter_ns", clock)

    def work() -> str:
        now[0] += 100_000
        return "answer"

    slower = MUTANTS[name].call(work)
    assert slower() == "answer"
    assert now[0] == pytest.approx(100_000 * (1 + extra), abs=5)


def test_one_figure_is_missing_and_the_claim_names_it(green, size, right, times):
    measured = Measured(
        measurements={"top1": right(9, 9, 10), "size_mb": size(4.0)}, reference=EMPTY, compressed=EMPTY,
        contradictions=(), kernels="k",
    )  # fmt: skip
    assert MUTANTS["dropped-metric"].document(measured).measurements.keys() == {"top1"}
    budgets = {"top1": {"min": 0.5}, "size_mb": {"max": 9.0}, "latency_ms": {"max_ratio": 1.0}}
    case = green(budgets, {**measured.measurements, "latency_ms": times(1.0, 2.0)})
    assert MUTANTS["dropped-metric"].claim(case, case.result).owed.keys() == {"size_mb"}


def test_a_missing_figure_that_was_expected_to_fail_is_claimed_by_no_other(green, size, right):
    measurements = {"size_mb": size(4.0), "top1": right(9, 9, 10)}
    case = replace(green({"size_mb": {"max": 1.0}, "top1": {"min": 0.5}}, measurements), labels=("top1",))
    claim = MUTANTS["dropped-metric"].claim(case, case.result)
    assert (claim.claimed, claim.missing) == (False, "size_mb as it should be: it is expected to fail")


EMPTY = Evidence(operators={}, tensors=())


def test_a_padded_file_is_five_percent_of_the_artifact_longer(tmp_path):
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "model.bin").write_bytes(b"w" * 900)
    (artifact / "model.xml").write_bytes(b"x" * 101)
    MUTANTS["padded-file"].artifact(tmp_path, tmp_path / "none", None)
    assert (artifact / "model.bin").read_bytes() == b"w" * 900 + bytes(math.ceil(0.05 * 1001))
    assert (artifact / "model.xml").stat().st_size == 101


def test_a_padded_archive_is_still_an_archive(tmp_path):
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    with zipfile.ZipFile(artifact / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"d" * 10_000)
    size = (artifact / "model.pt").stat().st_size
    MUTANTS["padded-file"].artifact(tmp_path, tmp_path / "none", None)
    grown = (artifact / "model.pt").stat().st_size - size
    assert 0.05 * size <= grown < 0.05 * size + 200
    with zipfile.ZipFile(artifact / "model.pt") as archive:
        assert archive.testzip() is None
        assert archive.read("model/data.pkl") == b"d" * 10_000


def test_a_padded_packed_file_is_read_as_before(tmp_path):
    from harness.artifacts import packed_file
    from harness.artifacts.packed_bytes import Tensor

    artifact = tmp_path / "artifact"
    artifact.mkdir()
    values = np.random.default_rng(0).integers(0, 2**32, 10_000, np.uint32)
    tensors = {"w": Tensor("float32", (100, 100), values)}
    before = packed_file.pack({"buffers": []}, tensors, None)
    (artifact / "model.packed").write_bytes(before)
    MUTANTS["padded-file"].artifact(tmp_path, tmp_path / "none", None)
    after = (artifact / "model.packed").read_bytes()
    # Blocks of five bytes; and the length of the head takes a byte or two more.
    assert 0.05 * len(before) <= len(after) - len(before) < 0.05 * len(before) + 8
    graph, read = packed_file.unpack(after)
    assert graph == {"buffers": []}
    assert np.array_equal(read["w"].words, values)
    assert packed_file.sizes(after) == packed_file.sizes(before)


def test_a_padded_safetensors_file_is_read_as_before(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    path = artifact / "model.safetensors"
    safetensors.save_file({"w": np.arange(5000, dtype=np.float32)}, path, metadata={"format": "pt"})
    size = path.stat().st_size
    MUTANTS["padded-file"].artifact(tmp_path, tmp_path / "none", None)
    assert 0.05 * size <= path.stat().st_size - size < 0.05 * size + 8
    assert np.array_equal(safetensors.load_file(path)["w"], np.arange(5000))


def test_a_no_op_leaves_what_the_float_side_has(tmp_path):
    reference, compressed = tmp_path / "reference", tmp_path / "compressed"
    for folder in (reference, compressed):
        (folder / "artifact").mkdir(parents=True)
        (folder / "artifact" / "model.pt").write_text(folder.name)
        (folder / "probe.npz").write_text(folder.name)
    (compressed / "artifact" / "scales").write_text("")
    MUTANTS["no-op"].artifact(compressed, reference, None)
    assert sorted(path.relative_to(compressed).as_posix() for path in compressed.rglob("*")) == [
        "artifact", "artifact/model.pt", "probe.npz",
    ]  # fmt: skip
    assert {path.read_text() for path in compressed.rglob("*") if path.is_file()} == {"reference"}


class Silent(Runtime):
    """One that says no more than every runtime has to."""

    runtime: str = "theirs"
    saves: ClassVar[frozenset[Form]] = frozenset()

    def save(self, subject, folder):
        raise NotImplementedError

    def load(self, folder, threads):
        raise NotImplementedError

    def kernels(self):
        return "theirs"


class Telling(Silent):
    """One that knows where its weights lie."""

    def shuffle(self, folder, seed):
        (folder / "order").write_text(str(seed))
        return "fc"


def test_a_runtime_of_ones_own_says_itself_how_a_layer_is_shuffled(tmp_path):
    (tmp_path / "artifact").mkdir()
    spec = SimpleNamespace(deploy=Telling(), measure=SimpleNamespace(seed=7))
    MUTANTS["shuffled-layer"].artifact(tmp_path, tmp_path / "none", spec)
    assert (tmp_path / "artifact" / "order").read_text() == "7"
    spec.deploy = Silent()
    with pytest.raises(Unmeasurable, match="the runtime theirs does not say how the weights of a layer are permuted"):
        MUTANTS["shuffled-layer"].artifact(tmp_path, tmp_path / "none", spec)


def test_swapped_baselines_are_of_another_version_or_of_other_samples(entry, right, green, size):
    stored = {"top1": entry("top1", 0.9, outcomes=right(9, 9, 10)), "size_mb": entry("size_mb", 4.0)}
    case = green(
        {"top1": {"min": 0.5}, "size_mb": {"max": 9.0}}, {"top1": right(9, 9, 10), "size_mb": size(4.0)}, stored
    )
    assert case.standing.baseline is not None
    stale, other = (
        MUTANTS[name].baseline(case.standing.baseline).portable for name in ("stale-baseline", "other-data")
    )
    assert {label: one.metric_version for label, one in stale.items()} == {"top1": 0, "size_mb": 0}
    assert {label: one.metric_version for label, one in other.items()} == {"top1": 1, "size_mb": 1}
    assert other["top1"].outcomes.data != "d"
    assert stored["top1"].outcomes.data == "d"
    assert right(9, 9, 10).against(other["top1"].outcomes) is None
    claims = {name: MUTANTS[name].claim(case, case.result).owed.keys() for name in ("stale-baseline", "other-data")}
    assert claims == {"stale-baseline": {"top1", "size_mb"}, "other-data": {"top1"}}


def test_a_stale_baseline_is_one_of_times_too(entry, green, times):
    stored = {"latency_ms": entry("latency_ms", 1.0, ratio=(0.5, 0.5, 0.5))}
    case = green({"latency_ms": {"max_ratio": 0.9}}, {"latency_ms": times(1.0, 2.0)}, timed=stored)
    assert case.standing.baseline is not None
    machine = MUTANTS["stale-baseline"].baseline(case.standing.baseline).machines["here"]
    assert machine.labels["latency_ms"].metric_version == 0
    assert case.standing.baseline.machines["here"].labels["latency_ms"].metric_version == 1
    assert MUTANTS["stale-baseline"].claim(case, case.result).owed.keys() == {"latency_ms"}
    # It holds no outcomes.
    assert not MUTANTS["other-data"].claim(case, case.result).claimed


def test_memory_is_held_to_a_stale_baseline_only_where_it_is_held_to_a_baseline(entry, green, size):
    stored = {"peak_memory_mb": entry("peak_memory_mb", 4.0)}
    case = green({"peak_memory_mb": {"max_ratio": 0.9}}, {"peak_memory_mb": size(4.0)}, timed=stored)
    assert MUTANTS["stale-baseline"].claim(case, case.result).owed.keys() == {"peak_memory_mb"}
    # As it was accepted with another version of a library: nothing is compared.
    here = environment().model_dump(mode="json")
    then = Machine(environment={**here, "libraries": {**here["libraries"], "numpy": "0"}}, threads=1, labels=stored)
    elsewhere = replace(case.standing, baseline=CaseBaseline(machines={"then": then}))
    assert not MUTANTS["stale-baseline"].claim(replace(case, standing=elsewhere), case.result).claimed


def test_a_stale_baseline_of_memory_is_caught_and_owed_by_no_other_mutant(green):
    measured = Readings(figures_reference=(100.0, 98.0, 104.0), figures=(50.0, 52.0, 49.0))
    budget = {"max_ratio": 0.9}
    accepted = accept(METRICS["peak_memory_mb"](**budget), measured, "torch AVX2", 0.95)
    case = green({"peak_memory_mb": budget}, {"peak_memory_mb": measured}, timed={"peak_memory_mb": accepted})
    claims = {name: one.claim(case, case.result).owed.keys() for name, one in MUTANTS.items()}
    assert [name for name, owed in claims.items() if "peak_memory_mb" in owed] == ["stale-baseline"]
    assert verdict(case.spec, case.result, "peak_memory_mb", case.standing).verdict is State.PASS
    standing = replace(case.standing, baseline=MUTANTS["stale-baseline"].baseline(case.standing.baseline))
    row = verdict(case.spec, case.result, "peak_memory_mb", standing)
    assert row.verdict is State.INVALID
    assert "the baseline holds peak_memory_mb version 1, this is peak_memory_mb version 2" in row.sentence


def test_every_spec_claims_the_no_op_and_the_shuffled_layer_whatever_its_budgets(green, size):
    case = green({"size_mb": {"max": 9.0}}, {"size_mb": size(4.0)})
    claims = {name: one.claim(case, case.result) for name, one in MUTANTS.items()}
    assert {name for name, claim in claims.items() if claim.always} == {"no-op", "shuffled-layer"}
    assert claims["shuffled-layer"].claimed
    assert "add top1 with a max_drop" in claims["shuffled-layer"].missing
    # Nobody claims the rest, for want of samples, times and a baseline; each says what would.
    others = {name for name, claim in claims.items() if not claim.claimed}
    assert others == MUTANTS.keys() - {"no-op", "shuffled-layer", "dropped-metric"}
    assert all(claims[name].missing for name in others)


def test_evidence_whose_failure_is_expected_owes_no_no_op(green, size):
    case = green({"size_mb": {"max": 9.0}}, {"size_mb": size(4.0)})
    assert MUTANTS["no-op"].claim(case, case.result).owed.keys() == {"evidence"}
    excused = MUTANTS["no-op"].claim(replace(case, evidence=False), case.result)
    assert (excused.claimed, excused.missing) == (False, "evidence whose failure is not expected")


def test_what_is_taken_on_the_first_samples_does_not_claim_that_the_others_are_gone(green, entry):
    totals = Totals(
        totals_reference=np.zeros(8), totals=np.full(8, 0.1), tokens=np.full(8, 100), units=np.arange(8), data="d"
    )
    stored = {"kl_divergence": entry("kl_divergence", 0.001, outcomes=totals)}
    case = green({"kl_divergence": {"max": 0.1}}, {"kl_divergence": totals}, stored)
    claims = {name: one.claim(case, case.result) for name, one in MUTANTS.items()}
    for name in ("truncated-evaluation", "halved-data"):
        assert not claims[name].claimed
        assert "all samples" in claims[name].missing
    for name in ("shuffled-layer", "other-data"):
        assert claims[name].owed.keys() == {"kl_divergence"}


def test_descriptions_are_plain_data():
    assert json.loads(json.dumps([one.model_dump() for one in MUTANTS.values()])) == [
        {"mutant": name} for name in MUTANTS
    ]


def test_every_mutant_has_its_line_in_the_docs():
    text = (Path(__file__).parents[3] / "docs" / "prove.md").read_text()
    table = text[text.index("## The mutants") : text.index("**The shuffled layer**")]
    assert all(f"`{name}`" in table.replace("`-", "`latency-") for name in MUTANTS)
