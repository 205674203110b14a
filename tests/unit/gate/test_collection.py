from __future__ import annotations

from pathlib import Path

from harness.gate.collection import _folders


def test_only_folders_of_the_project_count(tmp_path: Path) -> None:
    """A project that was checked out below somebody's `specs/` has other YAML than specs."""
    project = tmp_path / "specs" / "project"
    (project / "specs" / "vision").mkdir(parents=True)
    assert "specs" in _folders(project / "specs" / "vision" / "mine.yaml", project)
    assert "specs" not in _folders(project / "config" / "server.yaml", project)


def test_a_run_from_inside_of_specs_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "specs" / "vision"
    folder.mkdir(parents=True)
    assert "specs" in _folders(folder / "mine.yaml", folder)
    assert "specs" in _folders(folder / "mine.yaml", tmp_path / "elsewhere")
