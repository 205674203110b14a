"""Specs are called by their ids, and by their paths where several projects are gated at once."""

from pathlib import Path

import pytest

from harness.gate.naming import Names, within


def project(root: Path, *names: str) -> list[Path]:
    """Empty spec files."""
    paths = [root / "specs" / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_one_project_has_ids(tmp_path: Path) -> None:
    paths = project(tmp_path / "one", "vision/a.yaml", "b.v2.yml")
    names = Names(tmp_path, paths)
    assert [names.of(path) for path in paths] == ["vision/a", "b.v2"]
    assert names.below(tmp_path / "one", "vision/gone") == "vision/gone"


def test_several_projects_have_paths(tmp_path: Path) -> None:
    """`specs/sub/x` of the outer project and `specs/x` of the one in `sub` would both be `sub/x` without `specs`."""
    paths = [*project(tmp_path, "sub/x.yaml"), *project(tmp_path / "sub", "x.yaml")]
    names = Names(tmp_path, paths)
    assert [names.of(path) for path in paths] == ["specs/sub/x", "sub/specs/x"]
    assert names.below(tmp_path / "sub", "gone") == "sub/gone"
    # As the process tells it that gathers what others have judged.
    assert [names.project(root) for root in (tmp_path, tmp_path / "sub")] == [".", "sub"]
    assert [within(project, "gone") for project in ("", ".", "sub")] == ["gone", "gone", "sub/gone"]


def test_files_outside_of_any_specs_belong_to_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "x.yaml" for folder in ("a", "b")]
    assert [Names(tmp_path, paths).of(path) for path in paths] == ["a/x", "b/x"]


def test_a_name_never_climbs_out_of_a_folder(tmp_path: Path) -> None:
    """It is a path below `--export` too: where pytest's root is another folder, names start above all projects."""
    paths = [*project(tmp_path / "one", "x.yaml"), *project(tmp_path / "two", "x.yaml")]
    names = Names(tmp_path / "two", paths)
    assert [names.of(path) for path in paths] == ["one/specs/x", "two/specs/x"]


@pytest.mark.parametrize("link", ["folder", "file"])
def test_links_are_followed(tmp_path: Path, link: str) -> None:
    (path,) = project(tmp_path / "one", "x.yaml")
    (other,) = project(tmp_path / "two", "y.yaml")
    if link == "folder":
        (tmp_path / "alias").symlink_to(tmp_path / "one")
        linked = tmp_path / "alias" / "specs" / "x.yaml"
    else:
        linked = tmp_path / "alias.yaml"
        linked.symlink_to(path)
    assert Names(tmp_path, [path, linked]).of(linked) == "x"
    assert Names(tmp_path, [linked, other]).of(linked) == "one/specs/x"
