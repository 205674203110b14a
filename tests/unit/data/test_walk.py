"""Files below a folder: links are followed, and none of them for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.walk import files_below


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a file in it, and one in a folder in it."""
    (tmp_path / "top" / "a").mkdir(parents=True)
    for name in ("x", "a/y"):
        (tmp_path / "top" / name).write_text(name)
    return tmp_path / "top"


def test_linked_folders_are_entered_at_any_depth(top: Path, tmp_path: Path) -> None:
    (tmp_path / "store" / "inner").mkdir(parents=True)
    (tmp_path / "store" / "inner" / "z").write_text("z")
    (top / "a" / "link").symlink_to(tmp_path / "store")
    (top / "b").symlink_to(tmp_path / "store" / "inner")
    assert [path.relative_to(top).as_posix() for path in files_below(top)] == ["a/link/inner/z", "a/y", "b/z", "x"]


def test_a_link_back_to_a_folder_that_it_lies_in_is_not_followed(top: Path, tmp_path: Path) -> None:
    (top / "a" / "again").symlink_to(top / "a")
    (top / "a" / "up").symlink_to(top)
    (top / "a" / "out").symlink_to(tmp_path)
    assert files_below(top) == [top / "a" / "y", top / "x"]
    # Begun below the folder that a link leads to, what lies beside is none of it.
    assert files_below(top / "a") == [top / "a" / "y"]


def test_two_folders_that_link_to_each_other_have_an_end(top: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "z").write_text("z")
    (top / "there").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(top)
    assert files_below(top) == [top / "a" / "y", top / "there" / "z", top / "x"]


def test_what_is_hidden_is_taken_or_left_out(top: Path) -> None:
    (top / ".h").mkdir()
    for name in (".h/z", "a/.z"):
        (top / name).write_text(name)
    assert files_below(top, hidden=False) == [top / "a" / "y", top / "x"]
    assert files_below(top) == [top / ".h" / "z", top / "a" / ".z", top / "a" / "y", top / "x"]


def test_files_are_sorted_folder_by_folder(tmp_path: Path) -> None:
    """As text a-b comes before a/b: `-` before `/`."""
    (tmp_path / "a").mkdir()
    for name in ("a-b", "a/b"):
        (tmp_path / name).write_text("")
    assert files_below(tmp_path) == [tmp_path / "a" / "b", tmp_path / "a-b"]


def test_a_link_to_nothing_is_told_as_a_file(top: Path) -> None:
    (top / "gone.png").symlink_to(top / "nowhere.png")
    assert top / "gone.png" in files_below(top)
