"""One project with every kind of spec, run serially, under xdist, and after a baseline was accepted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from project import SPY, Project, Run

FP16 = "compress: [{method: float16}]\n"
PYTHON = """version: 1
title: {title}
task: image-classification
model: {{source: python, factory: "nets:build", arguments: {{fault: %s}}}}
data: {{source: digits}}
measure: {{timeout_s: %d}}
compress: [{{method: float16}}]
budgets: {{size_mb: {{max_ratio: 0.9}}}}
"""


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("gated") / "project", cache)
    (project.root / "conftest.py").write_text(SPY)
    project.spec(
        "vision/good", FP16 + "budgets:\n  size_mb: {max_ratio: 0.60}\n  top1: {max_drop: 0.02, reference_min: 0.9}\n"
    )
    project.spec("vision/over", FP16 + "budgets:\n  size_mb: {max_ratio: 0.30}\n")
    project.spec("vision/broken", FP16 + "budgets:\n  size_mb: {max_ratoi: 0.30}\n")
    project.spec("vision/elsewhere", FP16 + "requires: [amx_int8, cuda]\nbudgets:\n  size_mb: {max_ratio: 0.6}\n")
    project.spec("vision/later", FP16 + "tier: nightly\nbudgets:\n  size_mb: {max_ratio: 0.6}\n")
    project.spec(
        "vision/cases",
        "cases:\n  half: {compress: [{method: float16}]}\n  same: {compress: [{method: identity}]}\n"
        "budgets:\n  size_mb: {max_ratio: 0.6}\n",
    )
    for fault, limit in (("crash", 60), ("hang", 3), ("exit", 60), ("memory", 60)):
        project.spec(f"faults/{fault}", "", head=PYTHON % (fault, limit))
    return project


@pytest.fixture(scope="module")
def accepted(gated: Project) -> Run:
    return gated.run("--update-baselines", "--reason", "the first ones")


@pytest.fixture(scope="module")
def serial(gated: Project, accepted: Run) -> Run:
    return gated.run()


EXPECTED = {
    "vision/good::size_mb": "PASS",
    "vision/good::top1": "PASS",
    "vision/good::evidence": "PASS",
    "vision/over::size_mb": "FAIL",
    "vision/over::evidence": "PASS",
    "vision/broken::spec": "INVALID",
    "vision/elsewhere::size_mb": "NOT RUN",
    "vision/elsewhere::evidence": "NOT RUN",
    "vision/cases[half]::size_mb": "PASS",
    "vision/cases[half]::evidence": "PASS",
    "vision/cases[same]::size_mb": "FAIL",
    "vision/cases[same]::evidence": "INVALID",
    **{f"faults/{fault}::size_mb": "INVALID" for fault in ("crash", "hang", "exit", "memory")},
    **{f"faults/{fault}::evidence": "INVALID" for fault in ("crash", "hang", "exit", "memory")},
}


def test_every_spec_has_its_verdict_and_none_hides_another(serial: Run) -> None:
    assert serial.verdicts() == EXPECTED
    assert serial.code == 1


def test_junit_counts_broken_budgets_as_failures_and_the_rest_as_errors(serial: Run) -> None:
    assert serial.junit is not None
    figures = {name: int(serial.junit.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    values = list(EXPECTED.values())
    assert figures == {
        "tests": len(values),
        "failures": values.count("FAIL"),
        "errors": values.count("INVALID"),
        "skipped": values.count("NOT RUN"),
    }
    case = next(
        c for c in serial.junit.iter("testcase") if c.attrib["name"] == "size_mb" and "over" in c.attrib["classname"]
    )
    properties = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
    assert float(properties["value"]) / float(properties["reference"]) == pytest.approx(
        float(properties["ratio_estimate"])
    )
    assert properties["verdict"] == "FAIL"


def test_the_pytest_process_never_imports_torch(gated: Project, serial: Run) -> None:
    imported = set(ast.literal_eval((gated.root / "spy.txt").read_text()))
    assert {"harness", "pydantic"} <= imported
    assert not imported & {"torch", "torchvision", "openvino", "nncf", "sklearn", "timm"}


def test_a_failing_budget_prints_its_sentence_and_no_traceback(serial: Run) -> None:
    assert "vs float 0.2" in serial.out
    assert "limit 0.300 → FAIL" in serial.out
    assert "Traceback" not in serial.out
    assert "harness/gate" not in serial.out


def test_a_broken_file_is_named_with_line_and_closest_key(serial: Run) -> None:
    assert "specs/vision/broken.yaml:8:13: budgets.size_mb.max_ratoi: unknown key" in serial.out
    assert "Did you mean 'max_ratio'?" in serial.out


def test_a_dead_worker_is_invalid_with_signal_reason_and_log(serial: Run) -> None:
    assert "died of SIGSEGV" in serial.sentence("faults/crash", "size_mb")
    assert "ran past its limit of 3 s (measure.timeout_s)" in serial.sentence("faults/hang", "size_mb")
    assert "ended with exit code 7 and left no result" in serial.sentence("faults/exit", "size_mb")
    assert "ran out of memory" in serial.sentence("faults/memory", "size_mb")
    log = next(case["log"] for case in serial.report["cases"] if case["spec"] == "faults/hang")
    assert "about to hang" in log


def test_only_what_holds_all_its_budgets_becomes_a_baseline(gated: Project, accepted: Run) -> None:
    stored = sorted(
        path.relative_to(gated.root / "baselines").as_posix() for path in (gated.root / "baselines").rglob("*.json")
    )
    assert stored == ["vision/cases.json", "vision/good.json"]
    assert '"same"' not in (gated.root / "baselines/vision/cases.json").read_text()
    assert "the first ones" in (gated.root / "baselines/vision/good.json").read_text()
    assert accepted.code == 1


def sentences(run: Run) -> set[str]:
    """All sentences, but for how much memory a worker held when it died."""
    return {re.sub(r"peak of [\d,]+ MB", "peak", row["sentence"]) for row in run.report["rows"]}


def test_xdist_gives_the_same_verdicts_and_keeps_a_spec_on_one_worker(gated: Project, serial: Run) -> None:
    spread = gated.run("-n", "2")
    assert spread.verdicts() == serial.verdicts()
    assert spread.code == serial.code
    assert sentences(spread) == sentences(serial)


def test_node_ids_tiers_and_marks_select(gated: Project, accepted: Run) -> None:
    one = gated.run("specs/vision/good.yaml::top1")
    assert (one.verdicts(), one.code) == ({"vision/good::top1": "PASS"}, 0)
    word = gated.run("-k", "size_mb and half")
    half = {"vision/cases[half]::size_mb": "PASS"}
    # As a broken Python module, a file that cannot be read is hidden by no word.
    assert (word.verdicts(), word.code) == ({**half, "vision/broken::spec": "INVALID"}, 10)
    word = gated.run("specs/vision/cases.yaml", "-k", "size_mb and half")
    assert (word.verdicts(), word.code) == (half, 0)
    marked = gated.run("-m", "cuda and image-classification")
    # What the file would have been that cannot be read is not known: no such choice hides it.
    assert marked.verdicts().pop("vision/broken::spec") == "INVALID"
    assert {verdict for name, verdict in marked.verdicts().items() if name != "vision/broken::spec"} == {"NOT RUN"}
    assert marked.code == 10
    nightly = gated.run("-m", "nightly", "--tier", "nightly", "--collect-only", "-q")
    assert "specs/vision/later.yaml::size_mb" in nightly.out
    assert "good" not in nightly.out
    named = gated.run("specs/vision/later.yaml", "--collect-only", "-q")
    assert "later.yaml::evidence" in named.out


def test_what_cannot_run_fails_a_release(gated: Project, accepted: Run) -> None:
    strict = gated.run("--tier", "release", "specs/vision/elsewhere.yaml")
    assert strict.verdicts() == {"vision/elsewhere::size_mb": "NOT RUN", "vision/elsewhere::evidence": "NOT RUN"}
    assert strict.code == 1


def test_exit_code_tells_broken_from_invalid(gated: Project, accepted: Run) -> None:
    assert gated.run("specs/vision/broken.yaml").code == 10
    assert gated.run("specs/vision/over.yaml").code == 1
