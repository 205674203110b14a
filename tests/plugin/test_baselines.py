"""The life of a baseline through the plugin: missing, accepted, merged, corrupt, orphaned, killed; and the export."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import Project, Run

FP16 = "compress: [{method: float16}]\n"
BOTH = "budgets:\n  size_mb: {max_ratio: %s}\n  top1: {max_drop: 0.02, reference_min: 0.9}\n"
CORRUPT = b'{"version": 1, "spec": "life/corrupt", "cases": {"": {"port'
ACCEPT = ("--update-baselines", "--reason")

# Dies like a machine that loses power, when the update is about to rename so many files into place.
KILLER = """
import os, signal, sys

if os.environ.get("HIDE"):
    # As where the package is not installed.
    sys.modules[os.environ["HIDE"]] = None

if os.environ.get("KILL_AT"):
    left, rename = int(os.environ["KILL_AT"]), os.replace

    def replace(source, target):
        global left
        if str(target).endswith(".json") and "baselines" in str(target):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = replace
"""


def stored(project: Project) -> dict[str, bytes]:
    """Every file below `baselines/`, by its path there."""
    folder = project.root / "baselines"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def baseline(project: Project, spec: str) -> dict[str, Any]:
    """The one case of a baseline."""
    loaded: dict[str, Any] = json.loads((project.root / "baselines" / f"{spec}.json").read_text())
    return loaded["cases"][""]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Project:
    """Two specs that hold their budgets, one that breaks one of two; a corrupt baseline, and one with no spec."""
    project = Project(tmp_path_factory.mktemp("life") / "project", cache)
    (project.root / "conftest.py").write_text(KILLER)
    project.spec("life/good", FP16 + BOTH % 0.60)
    project.spec("life/other", "compress: [{method: bfloat16}]\n" + BOTH % 0.60)
    project.spec("life/over", FP16 + BOTH % 0.30)
    project.spec("life/corrupt", FP16 + "budgets:\n  size_mb: {max_ratio: 0.60}\n")
    (project.root / "baselines" / "life").mkdir(parents=True)
    (project.root / "baselines" / "life" / "corrupt.json").write_bytes(CORRUPT)
    (project.root / "baselines" / "life" / "renamed.json").write_text('{"version": 1, "spec": "life/renamed"}')
    return project


@pytest.fixture(scope="module")
def before(life: Project) -> Run:
    return life.run()


@pytest.fixture(scope="module")
def accepted(life: Project, before: Run) -> Run:
    return life.run(*ACCEPT, "the first ones", "--export", "out")


def test_a_missing_baseline_fails_and_says_how_to_accept_one(life: Project, before: Run) -> None:
    assert before.code == 1
    rows = before.verdicts()
    assert (rows["life/good::size_mb"], rows["life/good::top1"], rows["life/good::evidence"]) == (
        "FAIL",
        "FAIL",
        "PASS",
    )
    sentence = before.sentence("life/good", "size_mb")
    assert "within budget, but no baseline is stored" in sentence
    assert '--update-baselines --reason "…"' in sentence
    # Five hold their budgets and want a baseline; the sixth is over its budget.
    assert "6 FAIL (5 of them only because no baseline is stored), 1 INVALID, 4 PASS" in before.out
    assert before.out.count("FAIL no baseline") == 5


def test_a_corrupt_baseline_is_named_and_left_untouched(life: Project, before: Run, accepted: Run) -> None:
    for run in (before, accepted):
        assert run.verdicts()["life/corrupt::size_mb"] == "INVALID"
        assert "baselines/life/corrupt.json is no baseline of version 1" in run.sentence("life/corrupt", "size_mb")
    assert stored(life)["life/corrupt.json"] == CORRUPT


def test_baselines_with_no_spec_are_listed(before: Run) -> None:
    assert before.report["orphaned_baselines"] == ["life/renamed"]
    assert "baselines with no spec below specs/: life/renamed; restore their YAML or, " in before.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--update-baselines"], '--update-baselines needs --reason "why the new figures are acceptable"'),
        (["--update-baselines", "--reason", "  "], "--update-baselines needs --reason"),
        (["--reason", "because"], "--reason goes with --update-baselines"),
    ],
)
def test_an_update_needs_a_reason(life: Project, before: Run, options: list[str], words: str) -> None:
    files = stored(life)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "spec", "-p", "no:cacheprovider", *options],
        cwd=life.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR == 4
    assert words in done.stderr
    assert stored(life) == files


def test_a_broken_budget_keeps_all_of_its_case_out(life: Project, accepted: Run) -> None:
    assert accepted.code == 1
    assert accepted.verdicts()["life/over::top1"] == "PASS"
    assert sorted(stored(life)) == [f"life/{name}.json" for name in ("corrupt", "good", "other", "renamed")]
    assert "baseline of life/over: nothing accepted: size_mb FAIL" in accepted.out
    assert "baseline accepted: baselines/life/good.json" in accepted.out


def test_what_was_accepted_holds_the_figures_of_the_run(life: Project, accepted: Run) -> None:
    found = baseline(life, "life/good")
    rows = {row["label"]: row for row in accepted.report["rows"] if row["spec"] == "life/good"}
    for label in ("size_mb", "top1"):
        assert found["portable"][label]["value"] == rows[label]["value"]
        assert found["portable"][label]["reference"] == rows[label]["reference"]
    (change,) = found["history"]
    assert change["reason"] == "the first ones"
    assert change["values"] == {label: [None, rows[label]["value"]] for label in ("size_mb", "top1")}


def test_only_what_passed_is_exported_with_its_bytes_in_the_manifest(life: Project, accepted: Run) -> None:
    out = life.root / "out"
    assert sorted(path.parent.relative_to(out).as_posix() for path in out.rglob("manifest.json")) == [
        "life/good", "life/other",
    ]  # fmt: skip
    assert "not exported: life/over: size_mb FAIL" in accepted.out
    manifest = json.loads((out / "life" / "good" / "manifest.json").read_text())
    files = {path.name: path.read_bytes() for path in (out / "life" / "good").iterdir() if path.name != "manifest.json"}
    assert manifest["files"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    rows = [row for row in accepted.report["rows"] if row["spec"] == "life/good"]
    assert manifest["verdicts"] == rows
    # The bytes that were let out are the bytes that were judged.
    assert sum(map(len, files.values())) / 1e6 == next(row["value"] for row in rows if row["label"] == "size_mb")


def test_an_update_under_xdist_equals_a_serial_one(life: Project, accepted: Run, tmp_path: Path) -> None:
    spread = Project(tmp_path / "project", life.cache)
    shutil.copytree(life.root / "specs", spread.root / "specs", dirs_exist_ok=True)
    (spread.root / "baselines" / "life").mkdir(parents=True)
    for name in ("corrupt", "renamed"):
        shutil.copy(life.root / "baselines" / "life" / f"{name}.json", spread.root / "baselines" / "life")
    run = spread.run(*ACCEPT, "the first ones", "-n", "2")
    assert run.verdicts() == accepted.verdicts()
    assert run.code == accepted.code
    assert stored(spread) == stored(life)


def test_a_killed_update_leaves_whole_files_and_a_later_one_goes_through(life: Project, accepted: Run) -> None:
    """Killed between two renames: one baseline is the new one, the other still the old one, and both are whole."""
    names, old = ("life/good", "life/other"), stored(life)
    sizes = {name: baseline(life, name)["portable"]["size_mb"]["value"] for name in names}
    for name in names:
        # Accepted once with another size: an update that changes nothing would write nothing.
        path = life.root / "baselines" / f"{name}.json"
        path.write_text(path.read_text().replace(f'"value": {sizes[name]}', f'"value": {2 * sizes[name]}'))
    doubled = stored(life)
    selected = [f"specs/{name}.yaml::size_mb" for name in names]
    try:
        killed = life.run(*selected, *ACCEPT, "killed", env={"KILL_AT": "2"})
        assert killed.code == -signal.SIGKILL
        reasons = {name: [change["reason"] for change in baseline(life, name)["history"]] for name in names}
        assert reasons == {"life/good": ["the first ones", "killed"], "life/other": ["the first ones"]}
        assert stored(life)["life/other.json"] == doubled["life/other.json"]

        # A partial selection merges: what was not run keeps what it had.
        again = life.run(*selected, *ACCEPT, "once more")
        assert again.code == 0
        before, after = json.loads(old["life/other.json"])["cases"][""], baseline(life, "life/other")
        assert after["portable"]["top1"] == before["portable"]["top1"]
        size = sizes["life/other"]
        assert after["history"][1]["values"] == {"size_mb": [2 * size, size]}
        # The other one was written before the kill, and has nothing new.
        assert "baseline of life/good: nothing changed" in again.out
        assert [change["reason"] for change in baseline(life, "life/good")["history"]] == ["the first ones", "killed"]
        assert again.report["orphaned_baselines"] == ["life/renamed"]
    finally:
        for name in stored(life).keys() - old.keys():
            (life.root / "baselines" / name).unlink()
        for name, content in old.items():
            (life.root / "baselines" / name).write_bytes(content)


def test_an_update_that_changes_nothing_writes_nothing(life: Project, accepted: Run) -> None:
    files = stored(life)
    again = life.run("specs/life/good.yaml", *ACCEPT, "once more")
    assert again.code == 0
    assert "baseline of life/good: nothing changed" in again.out
    assert stored(life) == files


def test_an_improvement_offers_the_command_that_holds_it(life: Project, accepted: Run) -> None:
    path = life.root / "baselines" / "life" / "good.json"
    old, size = path.read_bytes(), baseline(life, "life/good")["portable"]["size_mb"]["value"]
    try:
        path.write_text(path.read_text().replace(f'"value": {size}', f'"value": {2 * size}'))
        better = life.run("specs/life/good.yaml")
        assert better.code == 0
        assert "better than the baseline: life/good: size_mb" in better.out
        assert [row["label"] for row in better.report["rows"] if row["improved"]] == ["size_mb"]
        assert "can be tightened" in (life.root / "report" / "report.html").read_text()
        offered = next(line for line in better.out.splitlines() if "to hold what was gained: pytest " in line)
        _, *arguments = shlex.split(offered.partition(": ")[2])
        assert arguments == ["specs/life/good.yaml::size_mb", *ACCEPT, "…"]
        held = life.run(*arguments)
        assert held.code == 0
        assert baseline(life, "life/good")["portable"]["size_mb"]["value"] == size
        assert baseline(life, "life/good")["history"][-1]["values"] == {"size_mb": [2 * size, size]}
    finally:
        path.write_bytes(old)


def test_without_the_template_engine_the_run_says_which_extra_brings_it(life: Project, accepted: Run) -> None:
    run = life.run("specs/life/good.yaml::evidence", env={"HIDE": "jinja2"})
    assert "no HTML page, which needs jinja2: pip install 'weighin[report]'" in run.out
    assert run.out.count("report: ") == 1
    assert run.report["rows"]
