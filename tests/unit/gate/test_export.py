from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ArtifactError
from harness.gate.export import export, project_in, withdraw, withdraw_others
from harness.run.cache import sealed_digest
from harness.run.environment import environment
from harness.run.lock import hold_folder
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.spec.load import Case, load

SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {size_mb: {max_ratio: 0.6}}
"""


def spec(root: Path, name: str) -> Case:
    path = root / "specs" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SPEC)
    return load(path).cases[0]


def run(root: Path, name: str, content: bytes) -> Run:
    folder = root / f"artifact-{content.decode()}"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(content)
    result = Result(spec=name, environment=environment(), artifact=sealed_digest(folder))
    return Run(result, folder)


def test_an_export_holds_the_bytes_and_names_them(tmp_path: Path) -> None:
    case = spec(tmp_path, "mine")
    target = export(tmp_path / "out", tmp_path, case, run(tmp_path, "mine", b"gated"), [])
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["manifest.json", "mine", "model.pt"]
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["files"] == {"model.pt": hashlib.sha256(b"gated").hexdigest()}
    assert len(manifest["spec_sha256"]) == 64
    assert manifest["deploy"]["runtime"] == "torch"


def test_exports_below_another_are_left_alone(tmp_path: Path) -> None:
    """`specs/mine.yaml` and `specs/mine/int8.yaml` share a folder."""
    out, outer, inner = tmp_path / "out", spec(tmp_path, "mine"), spec(tmp_path, "mine/int8")
    export(out, tmp_path, inner, run(tmp_path, "mine/int8", b"inner"), [])
    export(out, tmp_path, outer, run(tmp_path, "mine", b"old"), [])
    export(out, tmp_path, outer, run(tmp_path, "mine", b"new"), [])
    assert (out / "mine" / "model.pt").read_bytes() == b"new"
    assert (out / "mine" / "int8" / "model.pt").read_bytes() == b"inner"
    assert withdraw(out, tmp_path, "mine", "") == out / "mine"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "mine/int8/manifest.json", "mine/int8/model.pt",
    ]  # fmt: skip


def test_what_is_no_export_is_not_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "model.pt").write_bytes(b"somebody's own")
    assert withdraw(tmp_path / "out", tmp_path, "mine", "") is None
    assert (tmp_path / "out" / "mine" / "model.pt").read_bytes() == b"somebody's own"


def test_bytes_that_changed_since_they_were_judged_are_not_let_out(tmp_path: Path) -> None:
    case = spec(tmp_path, "mine")
    judged = run(tmp_path, "mine", b"judged")
    assert judged.artifact is not None
    (judged.artifact / "model.pt").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="changed after it was measured"):
        export(tmp_path / "out", tmp_path, case, judged, [])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_manifest_does_not_reach_outside_of_its_folder(tmp_path: Path) -> None:
    """Somebody's own manifest, or one that was tampered with, names what is no export."""
    out, case = tmp_path / "out", spec(tmp_path, "mine")
    target = export(out, tmp_path, case, run(tmp_path, "mine", b"gated"), [])
    (tmp_path / "outside").write_text("kept")
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["files"] |= {"../../outside": "0", str(tmp_path / "outside"): "0"}
    (target / "manifest.json").write_text(json.dumps(manifest))
    assert withdraw(out, tmp_path, "mine", "") == target
    assert (tmp_path / "outside").read_text() == "kept"
    assert not target.exists()


def test_all_exports_of_a_spec_are_withdrawn_and_no_others(tmp_path: Path) -> None:
    """Of a file that cannot be read any more, nobody knows which cases it had."""
    out, case = tmp_path / "out", spec(tmp_path, "mine")
    export(out, tmp_path, case, run(tmp_path, "mine", b"uncased"), [])
    export(out, tmp_path, replace(case, name="w8"), run(tmp_path, "mine", b"cased"), [])
    other = export(out, tmp_path, spec(tmp_path, "mine/int8"), run(tmp_path, "mine/int8", b"other"), [])
    assert withdraw_others(out, tmp_path, "mine") == [out / "mine", out / "mine" / "w8"]
    assert [path.parent for path in out.rglob("manifest.json")] == [other]
    assert withdraw_others(out, tmp_path, "mine") == withdraw_others(out, tmp_path, "none") == []


def test_a_case_does_not_take_the_place_of_a_spec(tmp_path: Path) -> None:
    """`specs/mine.yaml` may have a case `int8`, and `specs/mine/int8.yaml` none: both would lie in `mine/int8`."""
    out, case = tmp_path / "out", replace(spec(tmp_path, "mine"), name="int8")
    target = export(out, tmp_path, spec(tmp_path, "mine/int8"), run(tmp_path, "mine/int8", b"spec"), [])
    with pytest.raises(ArtifactError, match="mine/int8 holds the export of mine/int8; nothing was exported"):
        export(out, tmp_path, case, run(tmp_path, "mine", b"case"), [])
    assert withdraw(out, tmp_path, "mine", "int8") is None
    assert (target / "model.pt").read_bytes() == b"spec"
    assert [path.name for path in (out / "mine").iterdir()] == ["int8"]


def test_folders_of_an_artifact_come_and_go_whole(tmp_path: Path) -> None:
    case, deep = spec(tmp_path, "mine"), run(tmp_path, "mine", b"flat")
    assert deep.artifact is not None
    (deep.artifact / "a" / "b").mkdir(parents=True)
    (deep.artifact / "a" / "b" / "weights.bin").write_bytes(b"deep")
    deep = Run(deep.result.model_copy(update={"artifact": sealed_digest(deep.artifact)}), deep.artifact)
    target = export(tmp_path / "out", tmp_path, case, deep, [])
    assert (target / "a" / "b" / "weights.bin").read_bytes() == b"deep"
    assert withdraw(tmp_path / "out", tmp_path, "mine", "") == target
    assert not target.exists()


def test_of_cases_that_a_spec_has_no_more_the_exports_go(tmp_path: Path) -> None:
    out, case = tmp_path / "out", spec(tmp_path, "mine")
    export(out, tmp_path, replace(case, name="w8"), run(tmp_path, "mine", b"8"), [])
    export(out, tmp_path, replace(case, name="w4"), run(tmp_path, "mine", b"4"), [])
    assert withdraw_others(out, tmp_path, "mine", ["w8"]) == [out / "mine" / "w4"]
    assert (out / "mine" / "w8" / "manifest.json").exists()


def test_of_two_runs_that_export_one_case_each_waits_for_the_other(tmp_path: Path) -> None:
    """One's bytes would else lie below the other's manifest."""
    out, case = tmp_path / "out", spec(tmp_path, "mine")
    out.mkdir()
    other = threading.Thread(target=export, args=(out, tmp_path, case, run(tmp_path, "mine", b"late"), []))
    with hold_folder(out):
        other.start()
        other.join(0.3)
        assert other.is_alive()
        assert list(out.iterdir()) == []
    other.join(10)
    assert (out / "mine" / "model.pt").read_bytes() == b"late"


def test_an_export_of_another_project_is_neither_replaced_nor_withdrawn(tmp_path: Path) -> None:
    """Each was gated by itself, so that both specs are called by one id."""
    out, one, other = tmp_path / "out", tmp_path / "svc_a", tmp_path / "svc_b"
    target = export(out, one, spec(one, "mine"), run(one, "mine", b"a"), [])
    assert json.loads((target / "manifest.json").read_text())["project"] == "../svc_a"
    assert withdraw(out, other, "mine", "") is None
    assert withdraw_others(out, other, "mine") == []
    refused = (
        f"{target} holds the export of another project, {one} ('../svc_a' in its manifest), and this one is {other} "
        "('../svc_b'); nothing was exported: "
    )
    with pytest.raises(ArtifactError, match=f"^{re.escape(refused)}"):
        export(out, other, spec(other, "mine"), run(other, "mine", b"b"), [])
    assert (target / "model.pt").read_bytes() == b"a"
    # Its own is known again where both were moved.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (out, one):
        folder.rename(elsewhere / folder.name)
    assert withdraw(elsewhere / "out", elsewhere / "svc_a", "mine", "") == elsewhere / "out" / "mine"


def test_another_project_that_is_not_found_is_called_as_its_manifest_does(tmp_path: Path) -> None:
    """As one that was moved, and one whose repository may lie anywhere."""
    other, gone, beside = tmp_path / "svc_b", tmp_path / "svc_a", tmp_path / "far" / "repo"
    (beside / ".git").mkdir(parents=True)
    for name, root, called in (("out", gone, "../svc_a"), ("out2", beside, "repo")):
        out = tmp_path / name
        export(out, root, spec(root, "mine"), run(root, "mine", b"a"), [])
        root.rename(root.with_name("elsewhere"))
        refused = (
            f"another project, {called!r} in its manifest (from {out}, or from where its repository lies), and this "
            f"one is {other} ('../svc_b'); "
        )
        with pytest.raises(ArtifactError, match=re.escape(refused)):
            export(out, other, spec(other, "mine"), run(other / name, "mine", b"b"), [])


def test_an_export_from_before_projects_were_kept_is_of_this_one(tmp_path: Path) -> None:
    out, case = tmp_path / "out", spec(tmp_path, "mine")
    target = export(out, tmp_path, case, run(tmp_path, "mine", b"old"), [])
    manifest = json.loads((target / "manifest.json").read_text())
    del manifest["project"]
    (target / "manifest.json").write_text(json.dumps(manifest))
    export(out, tmp_path, case, run(tmp_path, "mine", b"new"), [])
    assert (target / "model.pt").read_bytes() == b"new"


def test_beside_its_repository_a_project_is_called_by_the_name_of_that(tmp_path: Path) -> None:
    """A checkout lies elsewhere on another machine, and the folder of exports may be one for all of them."""
    root, out = tmp_path / "one" / "repo" / "svc", tmp_path / "out"
    root.mkdir(parents=True)
    assert project_in(out, root) == "../one/repo/svc"
    (tmp_path / "one" / "repo" / ".git").mkdir()
    # As of a submodule: the outermost repository counts.
    (root / ".git").touch()
    assert project_in(out, root) == "repo/svc"
    assert project_in(root.parent / "out", root) == "../svc"
    (tmp_path / "one").rename(tmp_path / "two")
    assert project_in(out, tmp_path / "two" / "repo" / "svc") == "repo/svc"
