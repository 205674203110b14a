from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from harness.run.cache import Cache, default_folder, key_of, temporary


def fill(cache: Cache, key: str, size: int = 10) -> None:
    with cache.put(key) as folder:
        (folder / "artifact").mkdir()
        (folder / "artifact" / "model.pt").write_bytes(b"x" * size)


def test_an_entry_comes_back_as_it_was_put(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.get("k") is None
    fill(cache, "k")
    entry = cache.get("k")
    assert entry is not None
    assert (entry / "artifact" / "model.pt").read_bytes() == b"x" * 10


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "unsealed", "garbled"])
def test_a_damaged_entry_is_thrown_away(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path)
    fill(cache, "k")
    entry = tmp_path / "entries" / "k"
    model, seal = entry / "artifact" / "model.pt", entry / "seal.json"
    {
        "changed": lambda: model.write_bytes(b"x" * 9 + b"y"),
        "missing": model.unlink,
        "added": lambda: (entry / "artifact" / "extra").write_text("?"),
        "unsealed": seal.unlink,
        "garbled": lambda: seal.write_text("{"),
    }[damage]()
    assert cache.get("k") is None
    # The address is free again for a sound entry.
    fill(cache, "k")
    assert cache.get("k") is not None


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def half_way() -> None:
        with cache.put("k") as folder:
            (folder / "half").write_text("")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_way()
    assert cache.get("k") is None
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_gb=2.5e-6)
    for key in ("a", "b"):
        fill(cache, key, 1000)
        os.utime(tmp_path / "entries" / key, (time.time() - 100, time.time() - 100))
    assert cache.get("a") is not None  # which makes `b` the oldest
    fill(cache, "c", 1000)
    assert (cache.get("a") is not None, cache.get("b"), cache.get("c") is not None) == (True, None, True)


def test_an_entry_larger_than_the_limit_is_kept_for_the_run_that_made_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_gb=1e-9)
    fill(cache, "big", 5000)
    assert cache.get("big") is not None


def _race(folder: Path, worker: int, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    for round_ in range(20):
        cache = Cache(folder)
        fill(cache, f"k{round_}", 1000 + worker)
        entry = cache.get(f"k{round_}")
        assert entry is not None
        assert len((entry / "artifact" / "model.pt").read_bytes()) in (1000, 1001, 1002)


def test_runs_at_once_see_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_race, args=(tmp_path, worker, barrier)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_key_depends_on_every_part_and_not_on_key_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of("a", "b"), key_of("ab"), key_of(["a", "b"]), key_of("b", "a")}) == 4


def test_an_artifact_does_not_drive_out_the_one_that_it_is_compared_with(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_gb=1.5e-6)
    fill(cache, "old", 1000)
    with cache.put("compressed") as folder:
        (folder / "model.pt").write_bytes(b"x" * 1000)
    with cache.put("float", beside={"compressed"}) as folder:
        (folder / "model.pt").write_bytes(b"x" * 1000)
    assert [cache.get(key) is not None for key in ("old", "compressed", "float")] == [False, True, True]


def test_what_a_killed_run_left_half_written_is_cleared_away_in_time(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    staging = tmp_path / "staging"
    for name, age in (("left", 8 * 86_400), ("at-work", 3600)):
        (staging / name).mkdir(parents=True)
        os.utime(staging / name, (time.time() - age, time.time() - age))
    fill(cache, "k")
    assert [path.name for path in staging.iterdir()] == ["at-work"]


def test_a_folder_that_nothing_was_written_to_is_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(OSError, match="nothing was written to"), cache.put("k"):
        pass
    assert cache.get("k") is None


def test_the_folder_is_one_for_processes_that_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers change to the project's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHIN_CACHE", "cache")
    assert default_folder() == tmp_path / "cache"


def test_what_a_killed_run_had_for_itself_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary() as held:
        left, young = tmp_path / "weighin-cache-left", tmp_path / "weighin-cache-young"
        for folder in (left, young):
            (folder / "entries").mkdir(parents=True)
        old = time.time() - 7200
        for folder in (left, held):
            os.utime(folder, (old, old))
        with temporary():
            assert (left.exists(), young.exists(), held.exists()) == (False, True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["weighin-cache-young"]
