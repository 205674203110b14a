"""Which files are specs, and what tells two of them apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from harness.gate.collection import _imagined
from harness.spec.files import below, collected, files_below, folders_of


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
