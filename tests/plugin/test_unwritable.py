"""A disk that is full when the work is done: every verdict is told, baselines stay whole, and the run fails."""

from __future__ import annotations

from pathlib import Path

from project import Project

SPEC = "compress: [{method: float16}]\nbudgets:\n  params_m: {max: 1}\n  size_mb: {max_ratio: 0.6}\n"
FULL = """
import errno, os

def pytest_runtest_logstart(nodeid):
    rename = os.replace

    def replace(source, target):
        if os.environ.get("FULL") and any(part in str(target) for part in ("/baselines/", "out/", "report/")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        rename(source, target)

    os.replace = replace
"""


def test_a_full_disk_costs_no_verdict(tmp_path: Path, cache: Path) -> None:
    project = Project(tmp_path / "project", cache)
    (project.root / "conftest.py").write_text(FULL)
    project.spec("vision/mine", SPEC)
    accept = ("--export", "out", "--update-baselines", "--reason")
    first = project.run(*accept, "the first ones")
    assert first.code == 0, first.out
    baseline = project.root / "baselines" / "vision" / "mine.json"
    # As if another size had been accepted: there is something to update.
    size = next(row["value"] for row in first.report["rows"] if row["label"] == "size_mb")
    baseline.write_text(baseline.read_text().replace(f'"value": {size}', f'"value": {2 * size}'))
    before = baseline.read_text()
    assert before.count(f'"value": {2 * size}') == 1

    full = project.run(*accept, "once more", env={"FULL": "1"})
    assert full.code == 1
    assert "3 PASS" in full.out
    assert "1 passed" not in full.out
    assert "3 passed" in full.out
    for words in (
        "not exported: vision/mine: [Errno 28] No space left on device: 'out/vision/mine/model.pt'; the earlier",
        f"baselines below {project.root}, each of which is whole, the old one or the new one: [Errno 28]",
        "report/report.json: [Errno 28]",
        "report/report.html: [Errno 28]",
    ):
        assert words in full.out
    assert full.report == {}
    assert "Traceback" not in full.out
    # Each is whole: the old baseline, and nothing that looks like an export.
    assert baseline.read_text() == before
    assert [path.name for path in baseline.parent.iterdir()] == ["mine.json"]
    assert not list((project.root / "out").rglob("*.*"))


def test_an_export_that_cannot_be_removed_fails_the_run(tmp_path: Path, cache: Path) -> None:
    """A folder where a file of the export should lie; the case is not even measured here."""
    project = Project(tmp_path / "project", cache)
    project.spec("vision/mine", "requires: [amx_int8, cuda]\n" + SPEC)
    target = project.root / "out" / "vision" / "mine"
    (target / "model.pt").mkdir(parents=True)
    (target / "manifest.json").write_text(
        '{"version": 1, "spec": "vision/mine", "case": "", "files": {"model.pt": "0"}}'
    )
    run = project.run("--export", "out")
    assert set(run.verdicts().values()) == {"NOT RUN"}
    assert "an earlier export of vision/mine could not be removed, and is not to be shipped: [Errno" in run.out
    assert run.code == 1
    # Without the manifest it is none.
    assert not (target / "manifest.json").exists()
