"""Whatever goes wrong around a verdict: the item has its row, and nothing of its case is exported or accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {size_mb: {max_ratio: 0.6}, params_m: {max: 20}}
"""
TWO = "cases: {a: {compress: [{method: float16}]}, b: {compress: [{method: bfloat16}]}}"
CASES = SPEC.replace("compress: [{method: float16}]", TWO)

# Figures without a worker, and a line in `runs` for each time that a case is run; `FAULT` names what goes wrong.
CONFTEST = """
import errno, os
from pathlib import Path

import pytest

from harness.evidence import Evidence, TensorFact
from harness.gate import runner
from harness.measurement import Exact
from harness.run.cache import sealed_digest
from harness.run.environment import environment
from harness.run.pipeline import Pipeline, Run
from harness.run.result import Result

FAULT = os.environ.get("FAULT", "")


def run(self, file, case, labels, watch):
    with Path("runs").open("a") as stream:
        print(case.name, *labels, file=stream)
    if FAULT == "ended":
        pytest.fail("Timeout")
    if FAULT == "full disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/staging")
    artifact = Path("artifact").absolute()
    artifact.mkdir(exist_ok=True)
    (artifact / "model.pt").write_text("weights")
    facts = Evidence(operators={"linear": 1}, tensors=(TensorFact(name="w", dtype="float16", shape=(2, 2), zeros=0),))
    return Run(
        Result(
            spec=file.id, case=case.name, environment=environment(), kernels="torch", reference=facts,
            compressed=facts, artifact=sealed_digest(artifact),
            measurements={label: Exact(measured=4.0, measured_reference=10.0) for label in labels},
        ),
        artifact,
    )


Pipeline.run = run

if FAULT == "judge":
    expected = runner.apply_expected_failures

    def judge(row, spec, today, **options):
        if row.label == "params_m":
            raise KeyError("weights")
        return expected(row, spec, today, **options)

    runner.apply_expected_failures = judge


@pytest.fixture(autouse=True)
def around(request):
    at = request.node.name.startswith("params_m")
    if at and FAULT == "interrupt":
        raise KeyboardInterrupt
    if at and FAULT == "fixture":
        raise RuntimeError("no such device")
    if at and FAULT == "fixture skips":
        pytest.skip("not today")
    yield
    if at and FAULT == "teardown" or request.node.name == FAULT.removeprefix("teardown at "):
        raise RuntimeError("could not be cleaned up")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    yield
    if FAULT == "late set-up" and item.name == "params_m":
        raise RuntimeError("another plugin objects")


def pytest_collection_modifyitems(items):
    if FAULT == "interleaved":
        items.sort(key=lambda item: item.name)
    for item in items:
        if FAULT == "mark" and item.name == "params_m":
            item.add_marker(pytest.mark.skip(reason="not today"))
        if FAULT == "condition" and item.name == "params_m":
            item.add_marker(pytest.mark.skipif("no_such_name", reason="?"))
"""
ACCEPT = ("--update-baselines", "--reason", "the first ones")


@dataclass
class Gated:
    """What a run left; `runs` has the labels that were measured each time that a case was run."""

    code: int
    out: str
    rows: dict[str, str]
    sentences: dict[str, str]
    logs: list[str]
    runs: list[str]
    exported: list[str]
    accepted: list[str]


@pytest.fixture
def gate(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Gated]:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("WEIGHIN_CACHE", str(pytester.path / "cache"))
    pytester.makeconftest(CONFTEST)
    (pytester.path / "specs").mkdir()

    def below(folder: Path) -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def run(fault: str, *arguments: str, spec: str = SPEC) -> Gated:
        (pytester.path / "specs" / "mine.yaml").write_text(spec)
        (pytester.path / "runs").unlink(missing_ok=True)
        monkeypatch.setenv("FAULT", fault)
        done = pytester.runpytest_subprocess("specs", "--weighin-report", "report", "--export", "out", *arguments)
        report = json.loads((pytester.path / "report" / "report.json").read_text())
        names = [row["label"] + (f"[{row['case']}]" if row["case"] else "") for row in report["rows"]]
        runs = pytester.path / "runs"
        return Gated(
            int(done.ret), done.stdout.str() + done.stderr.str(),
            dict(zip(names, (row["verdict"] for row in report["rows"]), strict=True)),
            dict(zip(names, (row["sentence"] for row in report["rows"]), strict=True)),
            [case["log"] for case in report["cases"]],
            runs.read_text().splitlines() if runs.exists() else [],
            below(pytester.path / "out"), below(pytester.path / "baselines"),
        )  # fmt: skip

    return run


GREEN = {"size_mb": "PASS", "params_m": "PASS", "evidence": "PASS"}


def test_where_nothing_goes_wrong_a_case_is_exported_and_accepted(gate: Callable[..., Gated]) -> None:
    run = gate("", *ACCEPT)
    assert (run.code, run.rows) == (0, GREEN), run.out
    assert (run.exported, run.accepted) == (["mine/manifest.json", "mine/model.pt"], ["mine.json"])
    assert run.runs == [" size_mb params_m"]


def test_an_error_of_the_run_itself_is_invalid_and_tried_once(gate: Callable[..., Gated]) -> None:
    run = gate("full disk", *ACCEPT)
    assert (run.code, run.rows) == (10, dict.fromkeys(GREEN, "INVALID"))
    why = "the case could not be run: OSError: [Errno 28] No space left on device: '/cache/staging' → INVALID"
    assert run.sentences["size_mb"] == f"size_mb: {why}"
    assert "params_m: as size_mb → INVALID" in run.out
    # Where it went wrong is kept with the report.
    assert run.logs[0].startswith("Traceback (most recent call last):")
    assert len(run.runs) == 1
    assert run.exported == run.accepted == []


def test_an_error_of_the_judge_is_invalid_and_takes_no_other_row_with_it(gate: Callable[..., Gated]) -> None:
    run = gate("judge", *ACCEPT)
    assert (run.code, run.rows) == (10, {**GREEN, "params_m": "INVALID"})
    assert run.sentences["params_m"] == "params_m: could not be judged: KeyError: 'weights' → INVALID"
    assert "Captured traceback setup" in run.out
    assert len(run.runs) == 1
    assert run.exported == run.accepted == []


@pytest.mark.parametrize(
    ("fault", "state", "sentence"),
    [
        ("mark", "NOT RUN", "params_m: skipped by a mark or a fixture: not today → NOT RUN"),
        ("fixture skips", "NOT RUN", "params_m: skipped by a mark or a fixture: not today → NOT RUN"),
        (
            "fixture",
            "INVALID",
            "params_m: its set-up failed, and nothing is known of it: RuntimeError: no such device → INVALID",
        ),
        ("condition", "INVALID", "params_m: its set-up failed, and nothing is known of it: Failed: "),
    ],
)
def test_an_item_that_does_not_come_to_be_judged_bars_its_case(
    gate: Callable[..., Gated], fault: str, state: str, sentence: str
) -> None:
    assert gate("", *ACCEPT).exported
    run = gate(fault, *ACCEPT)
    assert run.rows == {**GREEN, "params_m": state}
    assert run.sentences["params_m"].startswith(sentence)
    assert run.code == (1 if state == "INVALID" else 0)
    assert run.exported == []
    assert f"not exported: mine: params_m {state}; the earlier export was removed from out/mine" in run.out
    assert f"baseline of mine: nothing accepted: params_m {state}" in run.out
    # What a mark skips is not measured; of a fixture nobody knows before.
    assert run.runs == [" size_mb params_m" if "fixture" in fault else " size_mb"]


def test_in_a_release_what_a_mark_skips_fails_the_run(gate: Callable[..., Gated]) -> None:
    gate("", *ACCEPT)
    run = gate("mark", "--tier", "release")
    assert (run.code, run.rows["params_m"]) == (1, "NOT RUN")


def test_a_case_whose_run_was_ended_is_not_begun_again(gate: Callable[..., Gated]) -> None:
    """As by a plugin that limits the time of a test: the first item fails in its set-up."""
    run = gate("ended", *ACCEPT)
    assert (run.code, run.rows) == (1, dict.fromkeys(GREEN, "INVALID"))
    assert "its set-up failed" in run.sentences["size_mb"]
    why = "the run of the case was ended before it had figures"
    assert run.sentences["params_m"] == f"params_m: {why} → INVALID"
    assert len(run.runs) == 1
    assert run.exported == run.accepted == []


def test_of_a_case_that_was_not_judged_whole_nothing_is_accepted(gate: Callable[..., Gated]) -> None:
    run = gate("interrupt", *ACCEPT)
    assert (run.code, run.rows) == (pytest.ExitCode.INTERRUPTED, {"size_mb": "PASS"})
    assert "baseline of mine: nothing accepted: params_m, evidence without a verdict" in run.out
    assert run.exported == run.accepted == []


def test_a_regression_that_is_expected_is_neither_accepted_nor_exported(gate: Callable[..., Gated]) -> None:
    entry = "{metric: size_mb, verdict: FAIL, bound: regress, because: a leaner export, owner: mara, until: 2999-12-31}"
    run = gate("", *ACCEPT, spec=f"{SPEC}expect_fail: {entry}\n")
    assert (run.code, run.rows) == (1, {**GREEN, "size_mb": "FAIL"})
    assert run.sentences["size_mb"].endswith(
        "; an update would accept the FAIL (regress) that mara expects: remove the expect_fail first → FAIL"
    )
    assert run.exported == run.accepted == []


@pytest.mark.parametrize(("fault", "phase"), [("teardown", "teardown"), ("late set-up", "set-up")])
def test_a_failure_beside_a_green_verdict_fails_the_run_and_bars_its_case(
    gate: Callable[..., Gated], fault: str, phase: str
) -> None:
    run = gate(fault, *ACCEPT)
    assert (run.code, run.rows) == (1, GREEN)
    assert run.exported == run.accepted == []
    assert f"not exported: mine: params_m failed in its {phase}" in run.out
    assert f"baseline of mine: nothing accepted: params_m failed in its {phase}" in run.out


def test_an_export_waits_for_the_teardown_of_the_last_item(gate: Callable[..., Gated]) -> None:
    run = gate("teardown at evidence", *ACCEPT)
    assert run.exported == []
    assert "not exported: mine: evidence failed in its teardown" in run.out


@pytest.mark.parametrize("fault", ["interleaved", ""])
def test_a_case_is_run_once_in_whatever_order_its_items_come(gate: Callable[..., Gated], fault: str) -> None:
    run = gate(fault, *ACCEPT, spec=CASES)
    assert run.code == 0, run.out
    assert sorted(run.runs) == ["a size_mb params_m", "b size_mb params_m"] or sorted(run.runs) == [
        "a params_m size_mb", "b params_m size_mb",
    ]  # fmt: skip
    assert run.exported == [f"mine/{case}/{name}" for case in "ab" for name in ("manifest.json", "model.pt")]


def test_failures_first_take_their_case_along(gate: Callable[..., Gated]) -> None:
    gate("", *ACCEPT, spec=CASES)
    assert gate("teardown", spec=CASES).code == 1
    # Both items that failed come first, and bring what is left of their cases.
    run = gate("", "--ff", "-v", spec=CASES)
    assert run.code == 0
    order = [line.split("::")[1].split(" ")[0] for line in run.out.splitlines() if line.startswith("specs/mine.yaml::")]
    assert order == [f"{label}[{case}]" for case in "ab" for label in ("params_m", "size_mb", "evidence")]
    assert len(run.runs) == 2


def test_a_baseline_that_a_spec_stands_behind_is_no_orphan(
    gate: Callable[..., Gated], pytester: pytest.Pytester
) -> None:
    """Neither that of a spec outside of `specs/`, in the run that judged it, nor that of one behind a linked folder."""
    for folder, name in (("other", "own"), ("shared", "linked")):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / f"{name}.yaml").write_text(SPEC)
    (pytester.path / "specs" / "below").symlink_to(pytester.path / "shared")
    run = gate("", "other/own.yaml", *ACCEPT)
    assert (run.code, run.accepted) == (0, ["linked.json", "mine.json", "own.json"])
    assert "baseline accepted: baselines/own.json" in run.out
    assert "with no spec" not in run.out
    # A run that does not come to it cannot know where it lies, and says what it knows.
    told = (
        "baselines with no spec below specs/: own; restore their YAML or, where no spec elsewhere has them, remove them"
    )
    assert told in gate("").out
    assert told in gate("", "-k", "mine").out
