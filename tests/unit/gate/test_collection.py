"""Which files are specs, and what tells two of them apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from harness.gate.collection import _imagined
from harness.spec.files import below, collected, files_below, folders_of, lost_below


def test_only_folders_of_the_project_count(tmp_path: Path) -> None:
    """A project that was checked out below somebody's `specs/` has other YAML than specs."""
    project = tmp_path / "specs" / "project"
    (project / "specs" / "vision").mkdir(parents=True)
    assert "specs" in folders_of(project / "specs" / "vision" / "mine.yaml", project)
    assert "specs" not in folders_of(project / "config" / "server.yaml", project)


def test_a_run_from_inside_of_specs_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "specs" / "vision"
    folder.mkdir(parents=True)
    assert "specs" in folders_of(folder / "mine.yaml", folder)
    assert "specs" in folders_of(folder / "mine.yaml", tmp_path / "elsewhere")


# Needs no worker: nothing of it is run.
SPEC = """version: 1
title: %s
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
requires: [amx_int8, cuda]
budgets: {size_mb: {max_ratio: 0.6}}
"""


@dataclass
class Gated:
    """What a run left."""

    rows: dict[str, str]
    sentences: dict[str, str]
    titles: dict[str, str]
    code: int


@pytest.fixture
def gate(pytester: pytest.Pytester) -> Callable[..., Gated]:
    def run(*arguments: str) -> Gated:
        done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--weighin-report", "report", *arguments)
        report = json.loads((pytester.path / "report" / "report.json").read_text())
        name = {index: f"{row['spec']}::{row['label']}" for index, row in enumerate(report["rows"])}
        assert len(set(name.values())) == len(name)
        return Gated(
            {name[index]: row["verdict"] for index, row in enumerate(report["rows"])},
            {name[index]: row["sentence"] for index, row in enumerate(report["rows"])},
            {case["spec"]: case["title"] for case in report["cases"]},
            int(done.ret),
        )

    return run


def write(root: Path, **titles: str) -> None:
    """Spec files, by name without its dot."""
    root.mkdir(parents=True, exist_ok=True)
    for name, title in titles.items():
        (root / name.replace("_", ".")).write_text(SPEC % title)


NOT_RUN = {"size_mb": "NOT RUN", "evidence": "NOT RUN"}


def rows(**files: dict[str, str]) -> dict[str, str]:
    return {f"{name}::{label}": state for name, own in files.items() for label, state in own.items()}


def test_projects_that_share_an_id_are_told_apart(pytester: pytest.Pytester, gate: Callable[..., Gated]) -> None:
    for name in ("svc_a", "svc_b"):
        write(pytester.path / name / "specs" / "vision", model_yaml=f"of {name}")
    both = gate("svc_a", "svc_b")
    names = ["svc_a/specs/vision/model", "svc_b/specs/vision/model"]
    assert both.rows == rows(**dict.fromkeys(names, NOT_RUN))
    assert both.titles == {names[0]: "of svc_a", names[1]: "of svc_b"}
    # A project by itself is called as ever.
    alone = gate("svc_b")
    assert alone.titles == {"vision/model": "of svc_b"}
    spread = gate("svc_a", "svc_b", "-n", "2")
    assert (spread.rows, spread.titles) == (both.rows, both.titles)


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
@pytest.mark.parametrize("chosen", [("-k", "svc_a"), ("--deselect", "svc_b")], ids=lambda one: one[0])
def test_a_part_of_a_run_calls_its_specs_what_all_of_it_does(
    pytester: pytest.Pytester, gate: Callable[..., Gated], chosen: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """By another name an earlier export would not be found."""
    for name in ("svc_a", "svc_b"):
        write(pytester.path / name / "specs" / "vision", model_yaml=f"of {name}")
    assert gate("svc_a", "svc_b", *chosen, *arguments).rows == rows(**{"svc_a/specs/vision/model": NOT_RUN})


def test_what_failed_last_is_called_what_it_was(pytester: pytest.Pytester) -> None:
    for name in ("svc_a", "svc_b"):
        write(pytester.path / name / "specs" / "vision", model_yaml=f"of {name}")
    (pytester.path / "svc_a" / "specs" / "vision" / "broken.yaml").write_text("[")
    for count in (5, 1):
        pytester.runpytest_subprocess("svc_a", "svc_b", "--lf", "--weighin-report", "report")
        found = json.loads((pytester.path / "report" / "report.json").read_text())["rows"]
        assert len(found) == count
    assert [row["spec"] for row in found] == ["svc_a/specs/vision/broken"]


DYING = """
import os, signal

worker = False

def pytest_configure(config):
    global worker
    worker = hasattr(config, "workerinput")

def pytest_runtest_logstart(nodeid):
    if worker:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_worker_died_on_is_called_as_by_it(pytester: pytest.Pytester, gate: Callable[..., Gated]) -> None:
    for name in ("svc_a", "svc_b"):
        write(pytester.path / name / "specs" / "vision", model_yaml=f"of {name}")
    pytester.makeconftest(DYING)
    died = gate("svc_a", "svc_b", "-k", "svc_a", "-n", "1", "--max-worker-restart", "0")
    assert died.rows == {"svc_a/specs/vision/model::size_mb": "INVALID"}


def test_of_two_files_with_one_id_the_second_is_refused(pytester: pytest.Pytester, gate: Callable[..., Gated]) -> None:
    write(pytester.path / "specs" / "vision", m_yaml="first", m_yml="second", other_yml="third")
    run = gate("specs")
    refused = "specs/vision/m.yml::spec"
    assert run.rows == rows(**{"vision/m": NOT_RUN, "vision/other": NOT_RUN}) | {refused: "INVALID"}
    assert run.code == 10
    assert run.sentences[refused] == (
        "specs/vision/m.yml:1:1: shares its id, vision/m, with specs/vision/m.yaml, and so its baseline, its place in "
        "the report and its export: rename one of them → INVALID"
    )
    assert run.titles == {"vision/m": "first", "vision/other": "third"}
    # Named alone, it would still be held to the other one's baseline.
    alone = gate("specs/vision/m.yml")
    assert alone.rows == {refused: "INVALID"}


def test_files_outside_of_specs_share_an_id_by_name_alone(
    pytester: pytest.Pytester, gate: Callable[..., Gated]
) -> None:
    """Both belong to the project that has a `specs/`; without one, each would belong to its own folder."""
    for name in ("a", "b"):
        write(pytester.path / name, x_yaml=f"of {name}")
    apart = gate("a/x.yaml", "b/x.yaml")
    assert apart.titles == {"a/x": "of a", "b/x": "of b"}
    (pytester.path / "specs").mkdir()
    run = gate("a/x.yaml", "b/x.yaml")
    assert run.rows == rows(x=NOT_RUN) | {"b/x.yaml::spec": "INVALID"}
    assert "shares its id, x, with a/x.yaml" in run.sentences["b/x.yaml::spec"]
    assert run.titles == {"x": "of a"}


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ("spec", True), ("ci", True), ("nightly", True), ("not nightly and not ci", True),
        ("image-classification", True), ("spec and not image-classification", True), ("cuda and causal-lm", True),
        ("spec and not cuda", True), ("not spec", False), ("ci and nightly", False), ("mine", False),
    ],
)  # fmt: skip
def test_a_broken_spec_is_marked_as_one_that_was_chosen(chosen: str, shown: bool) -> None:
    assert Expression.compile(chosen).evaluate(lambda name, /, **_: name in _imagined(chosen)) is shown


@pytest.mark.parametrize(("chosen", "count"), [("nightly and not object-detection", 1), ("not spec", 0), ("ci and", 0)])
def test_no_choice_of_tier_or_task_hides_a_broken_spec(pytester: pytest.Pytester, chosen: str, count: int) -> None:
    write(pytester.path / "specs", broken_yaml="[")
    run = pytester.inline_run("-p", "no:cacheprovider", "-m", chosen)
    assert len(run.getreports("pytest_runtest_logreport")) == 2 * count
    assert run.ret == (10 if count else 4 if chosen == "ci and" else 5)


def test_what_is_said_to_be_collected_is_what_a_run_collects(pytester: pytest.Pytester) -> None:
    """The audit reads which specs there are without pytest, and of revisions that lie in no folder; so does `check`."""
    named = """
        a.yaml b.yml .hidden.yaml _stem.yaml a.txt deep/d.yaml deep/_under/e.yaml deep/builder/f.yaml must-fail/g.yaml
        deep/must-fail/h.yaml .old/i.yaml build/j.yaml deep/build/k.yaml dist/l.yaml node_modules/m.yaml CVS/n.yaml
        _darcs/o.yaml {arch}/p.yaml x.egg/q.yaml __pycache__/r.yaml venv/s.yaml env/t.yaml conda/u.yaml conda/in/v.yaml
        env/pyvenv.cfg conda/conda-meta/history
    """
    names = named.split()
    for name in names:
        path = pytester.path / "specs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC % "any")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--collect-only", "-q", "specs")
    ran = {line.partition("::")[0] for line in done.outlines if "::" in line}
    assert sorted(ran) == collected([f"specs/{name}" for name in names])
    found, hidden = below(pytester.path / "specs")
    assert [one.relative_to(pytester.path).as_posix() for one in found] == sorted(ran)
    passed_over = """
        .old build deep/build dist node_modules CVS _darcs {arch} x.egg __pycache__ venv env conda
    """
    assert {folder.relative_to(pytester.path / "specs").as_posix() for folder in hidden} == {*passed_over.split()}
    assert ran == {f"specs/{name}" for name in [*names[:3], "deep/d.yaml", "deep/_under/e.yaml", "deep/builder/f.yaml"]}


def test_links_are_followed_as_pytest_does_and_not_in_circles(pytester: pytest.Pytester) -> None:
    specs = pytester.path / "specs"
    write(specs / "vision", a_yaml="a")
    write(pytester.path / "shared" / "deep", b_yaml="b")
    (specs / "linked").symlink_to(pytester.path / "shared")
    found = [f"specs/{name}" for name in ("linked/deep/b.yaml", "vision/a.yaml")]
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--collect-only", "-q", "specs")
    assert sorted({line.partition("::")[0] for line in done.outlines if "::" in line}) == found
    for link, target in (("up", pytester.path), ("vision/here", specs / "vision"), ("vision/none", specs / "nowhere")):
        (specs / link).symlink_to(target)
    (pytester.path / "shared" / "back").symlink_to(specs)
    assert [one.relative_to(pytester.path).as_posix() for one in below(specs)[0]] == found
    names = sorted(one.relative_to(specs).as_posix() for one in files_below(specs))
    assert names == ["linked/deep/b.yaml", "vision/a.yaml", "vision/none"]
    # What leads nowhere may have been a folder of specs.
    assert lost_below(specs) == [specs / "vision" / "none"]


NOWHERE = (
    "is a link to ../vendor/policies/specs, where nothing is, and what it should gate does not run: bring what it "
    "leads to, as by `git submodule update --init`, or remove the link"
)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_a_link_that_leads_nowhere_hides_no_spec_in_silence(
    pytester: pytest.Pytester, gate: Callable[..., Gated], arguments: tuple[str, ...]
) -> None:
    """As where a submodule was not checked out: pytest passes it over."""
    specs = pytester.path / "specs"
    write(specs / "vision", a_yaml="a")
    seen = [".lost.yml", "circle.yaml", "lost.yaml", "policies", "vision/_policies"]
    for name in (*seen, "_stem.yaml", "must-fail/lost.yaml", "must-fail/policies", "build", ".hidden", "notes.txt"):
        (specs / name).parent.mkdir(exist_ok=True)
        (specs / name).symlink_to(name if name == "circle.yaml" else "../vendor/policies/specs")
    run = gate("specs", *arguments)
    assert run.rows == rows(**{"vision/a": NOT_RUN}) | {f"specs/{name}::spec": "INVALID" for name in seen}
    assert run.code == 10
    assert run.sentences["specs/policies::spec"] == f"specs/policies:1:1: {NOWHERE} → INVALID"
    assert run.sentences["specs/lost.yaml::spec"] == f"specs/lost.yaml:1:1: {NOWHERE} → INVALID"
    assert run.sentences["specs/circle.yaml::spec"].startswith("specs/circle.yaml:1:1: is a link to circle.yaml, where")
    # `check` and `prove` say the same without pytest.
    assert [one.relative_to(specs).as_posix() for one in lost_below(specs)] == seen
    # Who names a file, or leaves a link out, means it.
    alone = gate("specs/vision/a.yaml", *arguments)
    assert (alone.rows, alone.code) == (rows(**{"vision/a": NOT_RUN}), 0)
    left_out = gate("specs", "--ignore", "specs/policies", *arguments)
    assert left_out.rows == {name: row for name, row in run.rows.items() if name != "specs/policies::spec"}


def test_what_failed_last_is_run_again_though_it_is_no_file(pytester: pytest.Pytester) -> None:
    write(pytester.path / "specs", a_yaml="a", broken_yaml="any")
    (pytester.path / "specs" / "broken.yaml").write_text("[")
    (pytester.path / "specs" / "policies").symlink_to("../vendor/policies/specs")
    for found in (["a", "a", "broken", "specs/policies"], ["broken", "specs/policies"]):
        done = pytester.runpytest_subprocess("specs", "--lf", "--weighin-report", "report")
        rows = json.loads((pytester.path / "report" / "report.json").read_text())["rows"]
        assert (sorted(row["spec"] for row in rows), int(done.ret)) == (found, 10)


def test_specs_that_are_a_link_to_nothing_are_told(pytester: pytest.Pytester, gate: Callable[..., Gated]) -> None:
    write(pytester.path / "svc_a" / "specs", a_yaml="a")
    (pytester.path / "svc_b").mkdir()
    (pytester.path / "svc_b" / "specs").symlink_to("../vendor/policies/specs")
    run = gate("svc_a", "svc_b")
    assert run.rows == rows(**{"svc_a/specs/a": NOT_RUN}) | {"svc_b/specs::spec": "INVALID"}
    assert run.code == 10


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
def test_no_word_hides_a_file_that_cannot_be_read(
    pytester: pytest.Pytester, gate: Callable[..., Gated], arguments: tuple[str, ...]
) -> None:
    """A Python module that cannot be imported fails a run too, whatever `-k` says."""
    write(pytester.path / "specs" / "vision", a_yaml="a", other_yaml="other", broken_yaml="any")
    (pytester.path / "specs" / "vision" / "broken.yaml").write_text("[")
    chosen = gate("specs", "-k", "size_mb and not other", *arguments)
    assert chosen.rows == {"vision/a::size_mb": "NOT RUN", "vision/broken::spec": "INVALID"}
    assert chosen.code == 10
    assert gate("specs", "-k", "not broken", *arguments).rows["vision/broken::spec"] == "INVALID"
    named = gate("specs/vision/a.yaml", "-k", "size_mb", *arguments)
    assert (named.rows, named.code) == ({"vision/a::size_mb": "NOT RUN"}, 0)


def test_what_no_word_hides_is_counted_as_it_runs_and_hidden_by_what_else_hides_it(pytester: pytest.Pytester) -> None:
    write(pytester.path / "specs", a_yaml="a", broken_yaml="any")
    (pytester.path / "specs" / "broken.yaml").write_text("[")

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "specs", "-k", "size_mb", *arguments)

    run().assert_outcomes(skipped=1, errors=1, deselected=1)
    assert run("-m", "not spec").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    run("--deselect", "specs/broken.yaml").assert_outcomes(skipped=1, deselected=2)


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (["::top1"], {"vision/broken::top1": "INVALID"}),
        # A file of which nobody knows what cases it has.
        (["::top1[int8]"], {"vision/broken::top1[int8]": "INVALID"}),
        (["::top1", "::size_mb"], {"vision/broken::top1": "INVALID", "vision/broken::size_mb": "INVALID"}),
        (["", "::top1"], {"vision/broken::spec": "INVALID"}),
    ],
)
def test_a_broken_spec_tells_why_whatever_item_of_it_is_asked_for(
    pytester: pytest.Pytester,
    gate: Callable[..., Gated],
    asked: list[str],
    rows: dict[str, str],
    arguments: tuple[str, ...],
) -> None:
    write(pytester.path / "specs" / "vision", broken_yaml="any")
    path = pytester.path / "specs" / "vision" / "broken.yaml"
    path.write_text(path.read_text().replace("max_ratio", "max_ratoi"))
    run = gate(*(f"specs/vision/broken.yaml{item}" for item in asked), *arguments)
    assert (run.rows, run.code) == (rows, 10)
    for sentence in run.sentences.values():
        assert sentence.startswith("specs/vision/broken.yaml:8:21: budgets.size_mb.max_ratoi: unknown key 'max_ratoi'")
        assert "Did you mean 'max_ratio'?" in sentence
