from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.code import code_digest, package_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "partly"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text("import json\ndef run():\n    from partly.deep import value\n")
    (folder / "deep.py").write_text("value = 1\n")
    (folder / "aside.py").write_text("value = 2\n")
    (folder / "beside.py").write_text("from .inner import other\nfrom . import inner\n")
    (folder / "inner").mkdir()
    (folder / "inner" / "__init__.py").write_text("from .part import other\nfrom ..up import more\n")
    (folder / "inner" / "part.py").write_text("other = 1\n")
    (folder / "up.py").write_text("more = 1\n")
    (folder / "lazy.py").write_text("def run():\n    from partly.heavy import f\n    from partly.heavy.part import g\n")
    (folder / "heavy").mkdir()
    (folder / "heavy" / "__init__.py").write_text("import a_package_that_is_not_installed\nf = 1\n")
    (folder / "heavy" / "part.py").write_text("g = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("partly")]:
        del sys.modules[name]


def digest(module: str = "partly.method") -> str:
    from harness import code

    code.code_digest.cache_clear()
    code._file.cache_clear()
    return code_digest(module)


@pytest.mark.parametrize(("changed", "matters"), [("method.py", True), ("deep.py", True), ("aside.py", False)])
def test_a_change_counts_where_the_code_can_reach_it(package: Path, changed: str, matters: bool) -> None:
    before = digest()
    (package / changed).write_text((package / changed).read_text() + "\n# changed\n")
    assert (digest() != before) is matters


@pytest.mark.parametrize("module", ["method", "beside", "lazy"])
def test_nothing_is_imported_to_find_out(package: Path, module: str) -> None:
    digest(f"partly.{module}")
    assert not [name for name in sys.modules if name.startswith("partly")]


@pytest.mark.parametrize("changed", ["heavy/__init__.py", "heavy/part.py"])
def test_what_could_not_be_imported_here_counts_too(package: Path, changed: str) -> None:
    before = digest("partly.lazy")
    (package / changed).write_text((package / changed).read_text() + "\n# changed\n")
    assert digest("partly.lazy") != before


def test_a_package_without_an_init_file_is_looked_into(package: Path) -> None:
    (package / "heavy" / "__init__.py").unlink()
    before = digest("partly.lazy")
    (package / "heavy" / "part.py").write_text("g = 2\n")
    assert digest("partly.lazy") != before


def test_code_that_does_not_parse_is_hashed_all_the_same(package: Path) -> None:
    before = digest()
    (package / "deep.py").write_text("value = = 1\n")
    assert digest() != before


@pytest.mark.parametrize(
    ("changed", "matters"), [("inner/__init__.py", True), ("inner/part.py", True), ("up.py", True), ("deep.py", False)]
)
def test_imports_that_are_relative_count_too(package: Path, changed: str, matters: bool) -> None:
    before = digest("partly.beside")
    (package / changed).write_text((package / changed).read_text() + "\n# changed\n")
    assert (digest("partly.beside") != before) is matters


def test_versions_of_the_libraries_that_a_project_imports_count(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory may wire what another package builds; weights that still fit say nothing of it."""
    (package / "deep.py").write_text("import yaml\nvalue = 1\n")
    versions = {"PyYAML": "6.0"}
    monkeypatch.setattr("harness.code.version", lambda name: versions.get(name, "1"))
    before = package_digest("partly.method", package.parent)
    assert package_digest("partly.method", package.parent) == before
    versions["PyYAML"] = "6.1"
    assert package_digest("partly.method", package.parent) != before
    # What nobody imports does not.
    after, versions["numpy"] = package_digest("partly.method", package.parent), "9"
    assert package_digest("partly.method", package.parent) == after
