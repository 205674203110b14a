from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.gate.export import export, withdraw
from harness.run.cache import sealed_digest
from harness.run.environment import environment
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
    target = export(tmp_path / "out", case, run(tmp_path, "mine", b"gated"), [])
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["manifest.json", "mine", "model.pt"]
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["files"] == {"model.pt": hashlib.sha256(b"gated").hexdigest()}
    assert len(manifest["spec_sha256"]) == 64
    assert manifest["deploy"]["runtime"] == "torch"


def test_exports_below_another_are_left_alone(tmp_path: Path) -> None:
    """`specs/mine.yaml` and `specs/mine/int8.yaml` share a folder."""
    out, outer, inner = tmp_path / "out", spec(tmp_path, "mine"), spec(tmp_path, "mine/int8")
    export(out, inner, run(tmp_path, "mine/int8", b"inner"), [])
    export(out, outer, run(tmp_path, "mine", b"old"), [])
    export(out, outer, run(tmp_path, "mine", b"new"), [])
    assert (out / "mine" / "model.pt").read_bytes() == b"new"
    assert (out / "mine" / "int8" / "model.pt").read_bytes() == b"inner"
    assert withdraw(out, "mine", outer) == out / "mine"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "mine/int8/manifest.json", "mine/int8/model.pt",
    ]  # fmt: skip


def test_what_is_no_export_is_not_withdrawn(tmp_path: Path) -> None:
    case = spec(tmp_path, "mine")
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "model.pt").write_bytes(b"somebody's own")
    assert withdraw(tmp_path / "out", "mine", case) is None
    assert (tmp_path / "out" / "mine" / "model.pt").read_bytes() == b"somebody's own"


def test_bytes_that_changed_since_they_were_judged_are_not_let_out(tmp_path: Path) -> None:
    case = spec(tmp_path, "mine")
    judged = run(tmp_path, "mine", b"judged")
    assert judged.artifact is not None
    (judged.artifact / "model.pt").write_bytes(b"other")
    with pytest.raises(RuntimeError, match="changed after it was measured"):
        export(tmp_path / "out", case, judged, [])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
