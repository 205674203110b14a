"""Two projects in one run: their specs may have the same id, and each is judged, kept and exported by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import HEAD, NETS, Project, Run

FP16 = "compress: [{method: float16}]\n"
OWN = """version: 1
title: {title}
task: image-classification
model: {{source: python, factory: "nets:build"}}
data: {{source: digits}}
"""
SIZE = "size_mb: {max_ratio: 0.6}"


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Project:
    """A folder of two projects; the last spec of the first one comes between the two that share an id."""
    both = Project(tmp_path_factory.mktemp("projects") / "both", cache)
    both.spec("../svc_a/specs/vision/model", f"{FP16}budgets: {{{SIZE}}}\n", head=HEAD)
    both.spec("../svc_a/specs/vision/other", f"{FP16}budgets: {{{SIZE}}}\n", head=HEAD)
    both.spec("../svc_b/specs/vision/model", f"{FP16}budgets: {{{SIZE}, params_m: {{max: 1}}}}\n", head=OWN)
    (both.root / "svc_b" / "nets.py").write_text(NETS)
    (both.root / "specs").rmdir()
    return both


@pytest.fixture(scope="module")
def accepted(projects: Project) -> Run:
    return projects.run("svc_a", "svc_b", "--update-baselines", "--reason", "the first ones", "--export", "out")


def sizes(run: Run) -> dict[str, float]:
    return {row["spec"]: row["reference"] for row in run.report["rows"] if row["label"] == "size_mb"}


def test_each_is_judged_on_its_own_model(projects: Project, accepted: Run) -> None:
    assert accepted.code == 0, accepted.out
    assert sorted(accepted.verdicts()) == [
        "svc_a/specs/vision/model::evidence", "svc_a/specs/vision/model::size_mb",
        "svc_a/specs/vision/other::evidence", "svc_a/specs/vision/other::size_mb",
        "svc_b/specs/vision/model::evidence", "svc_b/specs/vision/model::params_m",
        "svc_b/specs/vision/model::size_mb",
    ]  # fmt: skip
    found = sizes(accepted)
    # One layer of 1,024 × 10 weights and 10 more, at four bytes.
    assert found["svc_b/specs/vision/model"] == pytest.approx(4 * 10250 / 1e6, rel=0.1)
    assert found["svc_a/specs/vision/model"] == found["svc_a/specs/vision/other"] > 0.2
    # One directly after the other, as where nothing stands between them.
    next_to = projects.run("svc_a/specs/vision/model.yaml", "svc_b/specs/vision/model.yaml", "-k", "size_mb")
    assert next_to.code == 0, next_to.out
    assert sizes(next_to) == {name: size for name, size in found.items() if name.endswith("model")}
    assert len(next_to.report["cases"]) == 2


def test_each_has_its_baseline_and_its_export(projects: Project, accepted: Run) -> None:
    kept = {
        name: json.loads((projects.root / name / "baselines" / "vision" / "model.json").read_text())
        for name in ("svc_a", "svc_b")
    }
    references = {name: one["cases"][""]["portable"]["size_mb"]["reference"] for name, one in kept.items()}
    assert references == {name: sizes(accepted)[f"{name}/specs/vision/model"] for name in kept}
    assert "baseline accepted: svc_b/baselines/vision/model.json" in accepted.out
    for name in kept:
        manifest = json.loads(
            (projects.root / "out" / name / "specs" / "vision" / "model" / "manifest.json").read_text()
        )
        size = next(row for row in manifest["verdicts"] if row["label"] == "size_mb")
        assert size["reference"] == references[name]


def test_a_project_by_itself_is_called_as_ever(projects: Project, accepted: Run) -> None:
    run = projects.run("svc_b", "-k", "size_mb")
    assert (run.code, run.verdicts()) == (0, {"vision/model::size_mb": "PASS"})


def test_projects_that_are_gated_one_by_one_keep_their_exports_apart(projects: Project, accepted: Run) -> None:
    first = projects.run("svc_a/specs/vision/model.yaml", "--export", "apart")
    assert first.code == 0, first.out
    manifest = projects.root / "apart" / "vision" / "model" / "manifest.json"
    exported = manifest.read_bytes()
    second = projects.run("svc_b", "--export", "apart")
    assert set(second.verdicts().values()) == {"PASS"}
    svc_a, svc_b = (projects.root.resolve() / name for name in ("svc_a", "svc_b"))
    refused = (
        f"apart/vision/model holds the export of another project, {svc_a} ('../svc_a' in its manifest), and this one "
        f"is {svc_b} ('../svc_b'); nothing was exported"
    )
    assert f"not exported: vision/model: {refused}" in second.out
    assert second.code == 1
    assert manifest.read_bytes() == exported


def test_a_part_of_a_run_withdraws_what_all_of_it_exported(projects: Project, accepted: Run) -> None:
    both = projects.run("svc_a", "svc_b", "--export", "parts")
    assert both.code == 0, both.out
    part = projects.run("svc_a", "svc_b", "-k", "svc_a and model and size_mb", "--export", "parts")
    assert (part.code, part.verdicts()) == (0, {"svc_a/specs/vision/model::size_mb": "PASS"})
    assert "only size_mb ran; the earlier export was removed from parts/svc_a/specs/vision/model" in part.out
    left = {path.parent.relative_to(projects.root).as_posix() for path in projects.root.glob("parts/**/manifest.json")}
    assert left == {"parts/svc_a/specs/vision/other", "parts/svc_b/specs/vision/model"}
