"""Baseline files: where they lie, what a broken one says, and that a killed update breaks none."""

import json
import math
import os
import random
import signal
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from harness.baselines import orphans, path_of, read, updating, write_all
from harness.errors import BaselineError
from harness.judge.baseline import Accepted, Baseline, CaseBaseline, Machine
from harness.measurement import Pairs


def baseline(spec: str, value: float = 2.0, samples: int = 50) -> Baseline:
    outcomes = np.arange(samples) % 7 > 0
    held = Accepted(
        metric="top1", metric_version=1, value=value, reference=1 / 3, kernels="x86",
        outcomes=Pairs(outcomes_reference=outcomes, outcomes=~outcomes, units=np.arange(samples), data="d"),
    )  # fmt: skip
    timed = Accepted(
        metric="latency_ms", metric_version=1, value=value, reference=1e300, kernels="x86",
        ratio=(0.1, 0.1 + 0.2, float("inf")),
    )  # fmt: skip
    machine = Machine(environment={"cpu": "any"}, threads=2, labels={"speed": timed})
    return Baseline(spec=spec, cases={"": CaseBaseline(portable={"top1": held}, machines={"f": machine})})


def same(one: Baseline, other: Baseline) -> bool:
    return one.model_dump_json() == other.model_dump_json()


def test_a_baseline_lies_where_its_spec_does_and_reads_back_bit_for_bit(tmp_path: Path):
    assert read(tmp_path, "task/mine") is None
    written = baseline("task/mine")
    assert write_all(tmp_path, {"task/mine": written}) == [tmp_path / "baselines" / "task" / "mine.json"]
    back = read(tmp_path, "task/mine")
    assert same(back, written)
    held, timed = back.cases[""].portable["top1"], back.cases[""].machines["f"].labels["speed"]
    assert (held.reference, timed.ratio) == (1 / 3, (0.1, 0.30000000000000004, float("inf")))
    assert held.outcomes.outcomes.dtype == bool
    assert held.outcomes.outcomes.tolist() == [index % 7 == 0 for index in range(50)]


def test_a_written_file_is_stable_and_readable_in_review(tmp_path: Path):
    (path,) = write_all(tmp_path, {"a": baseline("a")})
    first = path.read_bytes()
    write_all(tmp_path, {"a": read(tmp_path, "a")})
    assert path.read_bytes() == first
    assert first.endswith(b"}\n")
    assert max(map(len, first.splitlines())) < 400
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no baseline of version 1"),
        ("{", "is no baseline of version 1"),
        ("[]", "is no baseline of version 1"),
        ('{"version": 2, "spec": "a"}', "is no baseline of version 1 (version: "),
        ('{"version": 1, "spec": "a", "casse": {}}', "(casse: "),
        ('{"version": 1, "spec": "b"}', "says that it belongs to 'b'; it was left as it is: was it copied?"),
        ("<<<<<<< HEAD\n{}", "is no baseline of version 1"),
    ],
)
def test_a_broken_file_is_named_and_left_as_it_is(tmp_path: Path, text, words):
    path = path_of(tmp_path, "a")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BaselineError) as caught:
        read(tmp_path, "a")
    assert str(caught.value).startswith("baselines/a.json ")
    assert words in str(caught.value)
    assert "it was left as it is" in str(caught.value)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("old", "new"),
    [('"data": "eJ', '"data": "!!'), ('"dtype": "bool"', '"dtype": "boot"'), ('"shape"', '"shpe"'), ("eJ", "AA")],
)
def test_outcomes_that_were_edited_are_a_broken_file(tmp_path: Path, old, new):
    (path,) = write_all(tmp_path, {"a": baseline("a")})
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BaselineError, match=r"baselines/a\.json is no baseline of version 1 .*is no packed array"):
        read(tmp_path, "a")


@pytest.mark.parametrize(("field", "at"), [("value", "value"), ("reference", "reference"), ("ratio", "ratio.0")])
def test_a_figure_that_is_no_number_is_a_broken_file(tmp_path: Path, field: str, at: str) -> None:
    """Nothing is worse than NaN: every regression would pass."""
    write_all(tmp_path, {"s": baseline("s")})
    document = json.loads(path_of(tmp_path, "s").read_text())
    entry = document["cases"][""]["machines"]["f"]["labels"]["speed"]
    entry[field] = [math.nan, 0.3, math.inf] if field == "ratio" else math.nan
    path_of(tmp_path, "s").write_text(json.dumps(document))
    with pytest.raises(BaselineError, match=rf"is no baseline of version 1 \(cases\..*speed\.{at}"):
        read(tmp_path, "s")


def test_text_that_is_not_utf8_and_a_directory_are_broken_files(tmp_path: Path):
    path_of(tmp_path, "a").parent.mkdir()
    path_of(tmp_path, "a").write_bytes(b"\xff")
    path_of(tmp_path, "b").mkdir()
    for spec in "ab":
        with pytest.raises(BaselineError, match=f"baselines/{spec}.json cannot be read"):
            read(tmp_path, spec)


def test_baselines_with_no_spec_are_listed(tmp_path: Path):
    write_all(tmp_path, {name: baseline(name) for name in ("a", "task/b", "task/c")})
    assert orphans(tmp_path, {"task/b"}) == ["a", "task/c"]
    assert orphans(tmp_path / "nowhere", set()) == []


def test_a_failed_write_changes_nothing(tmp_path: Path):
    write_all(tmp_path, {"a": baseline("a", 1.0)})
    blocked = tmp_path / "baselines" / "b"
    blocked.write_text("a file where a folder would have to be")
    with pytest.raises(OSError, match="b"):
        write_all(tmp_path, {"a": baseline("a", 2.0), "b/c": baseline("b/c", 2.0)})
    assert same(read(tmp_path, "a"), baseline("a", 1.0))
    assert sorted(path.name for path in (tmp_path / "baselines").iterdir()) == ["a.json", "b"]


def test_what_a_killed_update_left_is_no_baseline_and_is_cleared_away(tmp_path: Path):
    folder = tmp_path / "baselines"
    folder.mkdir()
    old, young, foreign = folder / ".a.json.x1.new", folder / ".a.json.x2.new", folder / ".ab.json.x3.new"
    for path in (old, young, foreign):
        path.write_text("{")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    assert orphans(tmp_path, set()) == []
    write_all(tmp_path, {"a": baseline("a")})
    assert sorted(path.name for path in folder.iterdir()) == [".a.json.x2.new", ".ab.json.x3.new", "a.json"]


def _write_for_ever(root: Path, specs: list[str], value: float) -> NoReturn:
    try:
        while True:
            value += 1
            write_all(root, {spec: baseline(spec, value, samples=2_000) for spec in specs})
    finally:
        # A writer that failed must not go on as a second test run.
        os._exit(1)


def test_a_process_killed_at_any_moment_leaves_every_baseline_whole(tmp_path: Path):
    specs = [f"t/{index}" for index in range(5)]
    write_all(tmp_path, {spec: baseline(spec, 0.0, samples=2_000) for spec in specs})
    started = time.perf_counter()
    write_all(tmp_path, {spec: baseline(spec, 0.0, samples=2_000) for spec in specs})
    once = time.perf_counter() - started
    draw = random.Random(0)
    seen: set[float] = set()
    apart = 0.0
    kills = 0
    # On a machine with other work a writer comes to less before it is killed: then it takes more of them.
    while kills < 30 or (len(seen) <= 5 and kills < 300):
        kills += 1
        child = os.fork()
        if child == 0:
            _write_for_ever(tmp_path, specs, max(seen, default=0.0))
        time.sleep(draw.uniform(0.0, 4 * once))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        values = []
        for spec in specs:
            found = read(tmp_path, spec)
            values.append(found.cases[""].portable["top1"].value)
            assert same(found, baseline(spec, values[-1], samples=2_000))
        # Renamed one after the other: a kill in the midst leaves them one step further apart than they were.
        assert max(values) - min(values) <= apart + 1
        apart = max(values) - min(values)
        seen.update(values)
        assert orphans(tmp_path, set(specs)) == []
    assert len(seen) > 5
    # The next update works, whatever was left behind.
    write_all(tmp_path, {spec: baseline(spec, -1.0) for spec in specs})
    assert {read(tmp_path, spec).cases[""].portable["top1"].value for spec in specs} == {-1.0}


def _accept_one_more(root: Path, times: int) -> NoReturn:
    code = 1
    try:
        for _ in range(times):
            with updating(root):
                held = read(root, "a").cases[""].portable["top1"].value
                write_all(root, {"a": baseline("a", held + 1, samples=500)})
        code = 0
    finally:
        os._exit(code)


def test_of_updates_at_the_same_time_none_is_lost(tmp_path: Path):
    write_all(tmp_path, {"a": baseline("a", 0.0)})
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            _accept_one_more(tmp_path, 20)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert read(tmp_path, "a").cases[""].portable["top1"].value == 60
    assert [path.name for path in tmp_path.iterdir()] == ["baselines"]
