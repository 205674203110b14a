"""Where things are kept is one place for every process, wherever it runs."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from harness.data import mnist_files
from harness.folders import CACHE, DATA, cache_folder, data_folder
from harness.run.cache import default_folder


def test_a_relative_folder_starts_where_the_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, "mine/cache")
    monkeypatch.setenv(DATA, "mine/data")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == default_folder() == tmp_path / "mine" / "cache"
    assert data_folder() == tmp_path / "mine" / "data"
    assert mnist_files.cache() == tmp_path / "mine" / "data" / "mnist"


@pytest.mark.parametrize("empty", [True, False])
def test_where_nothing_is_named_they_lie_in_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    for variable in (CACHE, DATA):
        if empty:
            monkeypatch.setenv(variable, "")
        else:
            monkeypatch.delenv(variable, raising=False)
    own = Path(platformdirs.user_cache_dir("weighin"))
    assert (cache_folder(), data_folder()) == (own, own / "data")


def test_the_cache_elsewhere_leaves_the_data_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.delenv(DATA, raising=False)
    assert data_folder() == Path(platformdirs.user_cache_dir("weighin"), "data")
