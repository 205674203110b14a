"""The gate on mutants, from outside: what good budgets catch, what loose ones let through, what stays untouched."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import HEAD, Project

from harness.prove.trial import Document, Fate, Trial

GOOD = """compress: [{method: %s}]
deploy: {runtime: %s}
budgets:
  size_mb: {max_ratio: 0.60}
  top1: {max_drop: 0.02, reference_min: 0.96}
"""
LOOSE = """compress: [{method: float16}]
budgets:
  size_mb: {max_ratio: 5, regress: 5}
  top1: {max_drop: 0.95, regress: 0.95}
"""
FIGURES = [
    "dropped-metric", "halved-data", "no-op", "other-data", "padded-file", "shuffled-layer", "stale-baseline",
    "truncated-evaluation", "wrong-class",
]  # fmt: skip


@dataclass
class Proven:
    """One run of the command."""

    code: int
    out: str
    document: Document | None

    def trials(self) -> dict[str, Trial]:
        assert self.document is not None
        return {trial.mutant: trial for proof in self.document.proofs for trial in proof.trials}


def prove(project: Project, *arguments: str) -> Proven:
    file = project.root / "score.json"
    file.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "prove", *arguments, "--json", str(file)],
        cwd=project.root, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "WEIGHIN_CACHE": str(project.cache), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    document = Document.model_validate_json(file.read_text()) if file.exists() else None
    file.unlink(missing_ok=True)
    return Proven(done.returncode, done.stdout + done.stderr, document)


def accept(project: Project) -> None:
    done = project.run("--update-baselines", "--reason", "first")
    assert done.code == 0, done.out


def contents(*folders: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Project:
    """A project with a cache of its own, which nobody else writes to meanwhile."""
    return Project(tmp_path / "project", tmp_path / "cache")


def test_good_budgets_catch_all_that_they_claim_and_nothing_is_left_behind(own: Project) -> None:
    own.spec("good", GOOD % ("int8-static", "torch"))
    accept(own)
    before = contents(own.root, own.cache)
    done = prove(own, "specs/good.yaml", "--mutants", *FIGURES)
    assert done.code == 0, done.out
    assert done.document is not None
    assert (done.document.caught, done.document.claimed) == (9, 9)
    trials = done.trials()
    # By the budget, and not by the check of what was reloaded: the compressor is wrong, not the disk.
    assert {name: trial.by for name, trial in trials.items() if name != "no-op"} == {
        "dropped-metric": {"size_mb": "INVALID"},
        "halved-data": {"top1": "INVALID"},
        "other-data": {"top1": "INVALID"},
        "padded-file": {"size_mb": "FAIL"},
        "shuffled-layer": {"top1": "FAIL"},
        "stale-baseline": {"size_mb": "INVALID", "top1": "INVALID"},
        "truncated-evaluation": {"top1": "INVALID"},
        "wrong-class": {"top1": "FAIL"},
    }
    assert trials["no-op"].by == {"size_mb": "FAIL", "evidence": "INVALID"}
    # Of the 797 samples 79 are of class 0.
    assert "79 lost" in trials["wrong-class"].sentence
    assert "9 of 9 claimed mutants caught (100 %)" in done.out
    assert contents(own.root, own.cache) == before


def test_the_faults_on_disk_are_the_same_for_openvino(project: Project) -> None:
    project.spec("graph", GOOD % ("float16", "openvino"))
    accept(project)
    done = prove(project, "specs/graph.yaml", "--mutants", "no-op", "shuffled-layer", "padded-file", "wrong-class")
    assert done.code == 0, done.out
    assert {name: trial.by for name, trial in done.trials().items()} == {
        "no-op": {"size_mb": "FAIL", "evidence": "INVALID"},
        "shuffled-layer": {"top1": "FAIL"},
        "padded-file": {"size_mb": "FAIL"},
        "wrong-class": {"top1": "FAIL"},
    }


PACKED = """compress: [{method: weight-sharing, bits: 4}, {method: entropy-coding, coder: %s}]
deploy: {runtime: packed}
budgets:
  size_mb: {max_ratio: 0.20}
  top1: {max_drop: 0.05, reference_min: 0.96}
"""


@pytest.mark.parametrize("coder", ["huffman", "range"])
def test_the_budgets_of_a_packed_file_are_tried_too(project: Project, coder: str) -> None:
    project.spec("packed", PACKED % coder)
    accept(project)
    done = prove(project, "specs/packed.yaml", "--mutants", "no-op", "shuffled-layer", "padded-file")
    assert done.code == 0, done.out
    trials = done.trials()
    assert trials["padded-file"].by == {"size_mb": "FAIL"}
    assert trials["shuffled-layer"].by["top1"] == "FAIL"
    assert trials["no-op"].by["evidence"] == "INVALID"
    assert not any(trial.refused or trial.others for trial in trials.values())


def test_a_loose_budget_is_named(project: Project) -> None:
    project.spec("loose", LOOSE)
    accept(project)
    done = prove(project, "specs", "--mutants", "shuffled-layer", "padded-file", "wrong-class", "no-op", "latency-10")
    assert done.code == 1, done.out
    trials = done.trials()
    shuffled = trials["shuffled-layer"]
    assert (shuffled.fate, shuffled.claimed, shuffled.by) == (Fate.SURVIVED, True, {})
    assert "survived: loose: shuffled-layer: top1 should have caught it and is too loose (top1: 0." in done.out
    assert "limit 0.9500 → PASS" in shuffled.sentence
    # Nobody claimed these, and the run says what would.
    free = {name: trial.missing for name, trial in trials.items() if not trial.claimed}
    assert free.keys() == {"padded-file", "wrong-class", "latency-10"}
    assert all(trials[name].fate is Fate.SURVIVED for name in free)
    assert free["padded-file"] == "size_mb max_ratio below 0.531"
    assert free["wrong-class"] == "top1 max_drop below 0.0991"
    assert free["latency-10"] == "a budget on a time"
    assert trials["no-op"].fate is Fate.CAUGHT
    assert "1 of 2 claimed mutants caught (50 %); 3 not claimed" in done.out


def test_a_spec_that_asks_nothing_of_the_answers_is_told_so(project: Project) -> None:
    project.spec("light", "compress: [{method: float16}]\nbudgets: {size_mb: {max_ratio: 0.6}}\n")
    accept(project)
    done = prove(project, "specs", "--mutants", "shuffled-layer")
    assert done.code == 1
    assert "shuffled-layer: no budget bounds what the model answers: add top1 with a max_drop" in done.out


def test_what_is_not_green_is_refused(project: Project) -> None:
    project.spec("red", "compress: [{method: float16}]\nbudgets: {size_mb: {max_ratio: 0.3}}\n")
    project.spec("unaccepted", "compress: [{method: float16}]\nbudgets: {size_mb: {max_ratio: 0.6}}\n")
    project.spec("elsewhere", "compress: [{method: float16}]\nrequires: [cuda]\nbudgets: {size_mb: {max_ratio: 0.6}}\n")
    done = prove(project, "specs", "--mutants", "no-op")
    assert done.code == 2
    assert "not green without any fault, so nothing can be proven: size_mb: 0.126" in done.out
    assert "no baseline is stored" in done.out
    assert done.document is not None
    assert [bool(proof.refused) for proof in done.document.proofs] == [False, True, True]
    assert all(not proof.trials for proof in done.document.proofs)
    assert json.loads(done.document.model_dump_json())["claimed"] == 0


def test_longer_calls_are_caught_or_the_machine_was_too_busy_to_tell(project: Project) -> None:
    head = HEAD.replace("lenet5", "resnet20")
    # Stored as float16 and computed in float32: as fast as the float model, so that 10 % more breaks the limit.
    project.spec("tight", "compress: [{method: float16}]\ndeploy: {runtime: openvino}\n"
                 "budgets: {latency_ms: {max_ratio: 1.07}}\nmeasure: {latency_s: 4}\n", head)  # fmt: skip
    done = prove(project, "specs", "--mutants", "latency-1", "latency-10")
    if done.code == 2:
        # Beside other work even the float model may seem to be over the limit.
        assert "latency_ms" in done.out
        return
    trials = done.trials()
    assert trials["latency-1"].claimed is False
    if trials["latency-10"].claimed:
        assert trials["latency-10"].fate in (Fate.CAUGHT, Fate.UNTOLD)
        assert done.code == (0 if trials["latency-10"].fate is Fate.CAUGHT else 11)
