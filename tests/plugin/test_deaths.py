"""An xdist worker that dies on an item: one row a budget, what stands behind it, and what of its case is accepted."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {top1: {max_drop: 0.9}, params_m: {max: 20}, agreement: {min: 0.2}}
"""

# Figures without a measuring process. The n-th run of the case loses the n-th sample under both budgets that have some.
# The xdist worker dies at the place that `KILL_AT` names, so many times as there are lines in `kills`.
CONFTEST = """
import os, signal
from pathlib import Path

import numpy as np
import pytest

from harness.evidence import Evidence, TensorFact
from harness.measurement import Exact, Pairs
from harness.run.cache import sealed_digest
from harness.run.environment import environment
from harness.run.pipeline import Pipeline, Run
from harness.run.result import Result


def run(self, file, case, labels, watch):
    with Path("runs").open("a") as stream:
        print(*labels, file=stream)
    lost = len(Path("runs").read_text().splitlines()) - 1
    artifact = Path("artifact").absolute()
    artifact.mkdir(exist_ok=True)
    (artifact / "model.pt").write_text("weights")
    facts = Evidence(operators={"linear": 1}, tensors=(TensorFact(name="w", dtype="float16", shape=(2, 2), zeros=0),))
    outcomes = np.arange(1000) != lost
    pairs = Pairs(outcomes_reference=outcomes | True, outcomes=outcomes, units=np.arange(1000), data="d")
    figures = {"top1": pairs, "agreement": pairs, "params_m": Exact(measured=4.0, measured_reference=10.0)}
    return Run(
        Result(
            spec=file.id, case=case.name, task=case.spec.task, environment=environment(), kernels="torch",
            reference=facts, compressed=facts, artifact=sealed_digest(artifact), seconds={"measure": lost + 1.0},
            names=tuple(f"photo {index}" for index in range(1000)), measurements={one: figures[one] for one in labels},
        ),
        artifact,
    )


Pipeline.run = run


def die_at(place):
    left = Path("kills")
    if os.environ.get("KILL_AT") == place and "PYTEST_XDIST_WORKER" in os.environ and left.read_text():
        left.write_text("\\n".join(left.read_text().split("\\n")[1:]))
        os.kill(os.getpid(), signal.SIGKILL)


def pytest_runtest_logstart(nodeid):
    die_at(f"start of {nodeid.partition('::')[2]}")


@pytest.fixture(autouse=True)
def around(request):
    yield
    die_at(f"teardown of {request.node.name}")
"""
ACCEPT = ("--update-baselines", "--reason", "the first ones")
GREEN = {"top1": "PASS", "params_m": "PASS", "agreement": "PASS", "evidence": "PASS"}


@dataclass
class Gated:
    """What a run left; `runs` is how often the case was run."""

    code: int
    out: str
    rows: list[tuple[str, str]]
    report: dict[str, Any]
    folder: Path
    runs: int

    def lost(self, label: str) -> str:
        """The one sample that the table of a budget says was lost."""
        with (self.folder / "outcomes" / "mine" / f"{label}.csv").open() as stream:
            (name,) = [line[0] for line in csv.reader(stream) if line[-1] == "0"]
        return name


@pytest.fixture
def gate(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Gated]:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    # Where this test itself is run by a worker, the run within would take itself for one, and its controller might die.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("WEIGHIN_CACHE", str(pytester.path / "cache"))
    pytester.makeconftest(CONFTEST)
    (pytester.path / "specs").mkdir()
    (pytester.path / "specs" / "mine.yaml").write_text(SPEC)

    def run(place: str, *arguments: str, kills: int = 1) -> Gated:
        monkeypatch.setenv("KILL_AT", place)
        (pytester.path / "kills").write_text("one more\n" * kills)
        (pytester.path / "runs").unlink(missing_ok=True)
        folder = pytester.path / "report"
        done = pytester.runpytest_subprocess(
            "specs", "-p", "no:cacheprovider", "--weighin-report", str(folder), "--export", "out", "-n", "1", *arguments
        )
        report = json.loads((folder / "report.json").read_text())
        return Gated(
            int(done.ret), done.stdout.str() + done.stderr.str(),
            [(row["label"], row["verdict"]) for row in report["rows"]], report, folder,
            len((pytester.path / "runs").read_text().splitlines()),
        )  # fmt: skip

    return run


@pytest.mark.parametrize("label", ["evidence", "params_m"])
def test_a_worker_that_dies_after_a_verdict_bars_its_case(
    gate: Callable[..., Gated], pytester: pytest.Pytester, label: str
) -> None:
    """The last item of the case, of which every verdict is there, or one before."""
    run = gate(f"teardown of {label}", "--max-worker-restart", "0", *ACCEPT)
    judged = [(one, "PASS") for one in list(GREEN)[: list(GREEN).index(label) + 1]]
    assert (run.code, run.rows) == (10, judged)
    assert f"not run again: mine::{label}, whose xdist worker died after the verdict: it stays PASS" in run.out
    assert f"baseline of mine: nothing accepted: {label} lost its xdist worker before it was over" in run.out
    assert "not exported: mine: it was not judged whole" in run.out
    assert "run again: " not in run.out.replace("not run again: ", "")
    assert not (pytester.path / "baselines").exists()
    assert not list((pytester.path / "out").rglob("*.pt"))


def test_an_item_that_is_judged_once_more_by_another_worker_has_one_row(
    gate: Callable[..., Gated], pytester: pytest.Pytester
) -> None:
    run = gate("teardown of params_m", *ACCEPT)
    assert run.rows == list(GREEN.items())
    assert "run again: mine::params_m, after its xdist worker died" in run.out
    assert "not run again" not in run.out
    assert run.report["rows"][1]["spec"] == "mine"
    assert len(run.report["cases"]) == 1
    # All of it is over: the worker's death alone leaves the run red.
    assert run.code == 10
    assert sorted(json.loads((pytester.path / "baselines" / "mine.json").read_text())["cases"][""]["portable"]) == [
        "agreement", "params_m", "top1",
    ]  # fmt: skip


def test_of_an_item_that_kills_each_worker_after_its_verdict_both_is_told(gate: Callable[..., Gated]) -> None:
    run = gate("teardown of params_m", "--max-worker-restart", "1", *ACCEPT, kills=2)
    assert run.rows == [("top1", "PASS"), ("params_m", "PASS")]
    assert "run again: mine::params_m, after its xdist worker died" in run.out
    assert "not run again: mine::params_m, whose xdist worker died after the verdict" in run.out
    assert "nothing accepted: params_m lost its xdist worker before it was over" in run.out


@pytest.mark.parametrize("place", ["start of params_m", "teardown of params_m"])
def test_behind_each_row_stands_the_run_that_it_was_judged_from(gate: Callable[..., Gated], place: str) -> None:
    """`top1` is judged from the first run of the case, and what comes after the death from a second one."""
    run = gate(place)
    assert run.runs == 2
    (case,) = run.report["cases"]
    assert {label: flips["lost"] for label, flips in case["flips"].items()} == {
        "top1": ["photo 0"],
        "agreement": ["photo 1"],
    }
    assert case["tables"] == {label: f"outcomes/mine/{label}.csv" for label in ("top1", "agreement")}
    assert (run.lost("top1"), run.lost("agreement")) == ("photo 0", "photo 1")
    # What is of no budget is the evidence's.
    assert case["seconds"] == {"measure": 2.0}
