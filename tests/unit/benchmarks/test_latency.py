"""The arithmetic of benchmarks/latency_gate.py: what a truth and a gate are, and what a cell counts as wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest

from harness.judge.verdict import State
from harness.measurement import Timings

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_stored_run_is_wrong_by_alarms_below_and_by_silence_above(part: Callable[[str], ModuleType]) -> None:
    runs = [(1.00, 1.02), (1.04, 1.06), (1.06, 1.20)]
    # Unchanged: one of three least figures is past 1.05, and two of three means.
    assert part("latency.stored").peer_errors((1.0, 1.0), runs, "below") == pytest.approx((1 / 3, 2 / 3))
    # What was stored was 7 % faster: all are past 1.05/1.07 = 0.981, so nothing is silent.
    assert part("latency.stored").peer_errors((1.0, 1.0), runs, "above") == (0.0, 0.0)
    assert part("latency.stored").peer_errors((1.06, 1.0), runs, "above") == pytest.approx((2 / 3, 0.0))


def test_a_long_run_finds_the_ratio_that_work_is_built_with(part: Callable[[str], ModuleType]) -> None:
    # Steps that take a known time, so that only the loop can be wrong.
    def steps(count: int) -> None:
        for _ in range(count):
            busy(2e-5)

    assert part("latency.truth").truth(lambda: steps(10), lambda: steps(6), 0.5) == pytest.approx(0.6, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pass_rate": 0.99}, None),
        ({"pass_rate": 0.985}, "98.5% right, and at least 99% is claimed"),
        ({"side": "above", "fail_rate": 0.98}, "98.0% right"),
        # Beside others a verdict may be kept back, and not be wrong.
        ({"load": "busy1", "pass_rate": 0.0}, None),
        ({"load": "busy1", "wrong_verdicts": 0.015}, "1.5% wrong, and at most 1% is claimed"),
        ({"median_seconds": 10.5}, "10.5 s to a verdict"),
        # No number of gates makes a verdict take less.
        ({"gates": 3, "pass_rate": 1.0, "median_seconds": 10.5}, "10.5 s to a verdict"),
    ],
)
def test_a_cell_that_misses_its_claim_is_told(
    part: Callable[[str], ModuleType], cell: Callable[..., Any], changes: dict[str, object], said: str | None
) -> None:
    claims, made = part("latency.claims"), cell(**changes)
    found = claims.missed([made])
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
    assert claims.undecided([made]) == []


@pytest.mark.parametrize(
    ("count", "gates", "shown"),
    [
        # One of three comes in 3.0 % of runs where 1 % is kept, two in 0.03 %; two of twenty in 1.7 %, three in 0.1 %.
        (1, 3, False),
        (2, 3, True),
        (2, 20, False),
        (3, 20, True),
        (6, 199, False),
        (7, 199, True),
        # A whole cell is held to the share itself.
        (2, 200, False),
        (3, 200, True),
        (4, 400, False),
        (5, 400, True),
    ],
)
def test_few_gates_show_only_what_would_be_rare_if_the_claim_were_kept(
    part: Callable[[str], ModuleType], count: int, gates: int, shown: bool
) -> None:
    claims = part("latency.claims")
    assert claims.shown(count, gates, 0.01) is shown
    assert claims.shown(count, gates, 1 - claims.PASSED) is shown


PASS, FAIL, OPEN = State.PASS, State.FAIL, State.INCONCLUSIVE


@pytest.mark.parametrize(
    ("below", "code", "told"),
    [
        ((PASS, PASS, PASS), 0, None),
        ((PASS, OPEN, PASS), 0, "too few gates to tell: {}: 66.7% right, and at least 99% is claimed"),
        ((FAIL, PASS, PASS), 0, "too few gates to tell: {}: 33.3% wrong, and at most 1% is claimed"),
        ((OPEN, PASS, OPEN), 1, "not kept: {}: 33.3% right, and at least 99% is claimed"),
        ((FAIL, PASS, FAIL), 1, "not kept: {}: 66.7% wrong, and at most 1% is claimed"),
    ],
)
def test_a_quick_run_fails_for_gross_errors_and_prints_every_rate_that_is_missed(
    part: Callable[[str], ModuleType], gates: tuple[list[float], list[float]], monkeypatch: pytest.MonkeyPatch,
    latency_gate: Callable[..., tuple[int, str]], below: tuple[State, ...], code: int, told: str | None,
) -> None:  # fmt: skip
    cells, (truths, _) = part("latency.cell"), gates
    truths += [0.6] * 8
    answers = iter([state for one in below for state in (one, FAIL)])
    monkeypatch.setattr(cells, "gate", lambda work, limit, pauses: cells.Answer(next(answers), 1.0, 0.0, 1))
    found, said = latency_gate("--quick", "--work", "numpy")
    assert found == code
    if told is None:
        assert "claimed" not in said
    else:
        assert told.format("numpy, 6 of 10, idle, 7 % below the limit") in said


def test_times_are_taken_again_as_the_gate_does_it(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until others leave them alone, a breach has shown twice, or the pauses are used up; never for its own noise."""
    gate = part("latency.gate")

    def timed(ratio: float, spread: float = 0.0, **more: float) -> Timings:
        shape = 4e6 * np.ones((20, 4)) * (1 + spread * np.linspace(-1, 1, 20)[:, None])
        return Timings.model_validate({"blocks_reference": 4e6 * np.ones((20, 4)), "blocks": ratio * shape, **more})

    # Others who took half of the machine may have moved it by 17 %.
    good, bad, busy_one, noisy = timed(0.5), timed(0.7), timed(0.55, load=0.5), timed(0.6, 0.3)
    for takes, state, count in (
        ((good,), State.PASS, 1),
        ((busy_one, good), State.PASS, 2),
        ((busy_one, busy_one, busy_one), State.INCONCLUSIVE, 3),
        ((busy_one, noisy, good), State.INCONCLUSIVE, 2),
        ((noisy, good), State.INCONCLUSIVE, 1),
        ((bad, bad), State.FAIL, 2),
        ((bad, good, good), State.PASS, 3),
        ((bad, good, bad), State.FAIL, 3),
        ((busy_one, bad, good), State.INCONCLUSIVE, 3),
    ):
        left = iter(takes)
        monkeypatch.setattr(gate, "sample", lambda *given, **named: next(left))  # noqa: B023
        said = gate.gate((busy, busy, busy), 0.6, pauses=(0.0, 0.0))
        assert (said.state, said.takes) == (state, count)


def test_each_pair_of_limits_is_held_to_the_truth_of_the_moment_and_not_of_a_spell(
    part: Callable[[str], ModuleType], gates: tuple[list[float], list[float]]
) -> None:
    """A host that moves the truth between gates, or for seconds, would else have a sound gate called wrong."""
    cells, (truths, limits) = part("latency.cell"), gates
    truths += (0.5, 0.5, 0.5, 0.9, 0.6, 0.6, 0.7, 0.7)
    asked, idle = cells.Asked(3, 1.0, 1), cells.Idle(0.6, (1.0, 1.0))
    below, above = cells.cells("numpy, 6 of 10", "busy1", (busy, busy, busy), asked, idle, cells.Log())
    assert limits == pytest.approx([one / factor for one in (0.5, 0.6, 0.6) for factor in (0.93, 1.07)])
    assert (below.truth, below.truth_least, below.truth_most) == (0.6, 0.5, 0.6)
    assert (below.pass_rate, above.fail_rate, above.wrong_verdicts) == (1.0, 1.0, 0.0)
    assert "0.600 [0.500, 0.600], 7 % below limit" in part("latency.table").row(below)


def test_idle_gates_wait_for_a_truth_that_stays_and_count_where_it_stayed(
    part: Callable[[str], ModuleType], gates: tuple[list[float], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are decided by the truth alone, whatever the gates say."""
    cells, (truths, limits) = part("latency.cell"), gates
    moving, calm = (0.5, 0.6, 0.5, 0.6, 0.5), (0.60, 0.61, 0.60, 0.61, 0.60)
    # A pair after which the truth is 5 % off, five pieces until it stays again, and a pair that counts.
    truths += (*moving, *calm, 0.63, *calm, 0.61)
    asked, idle = cells.Asked(1, 1.0, 1), cells.Idle(0.6, (1.0, 1.0))
    below, above = cells.cells("numpy, 6 of 10", "idle", (busy, busy, busy), asked, idle, cells.Log())
    assert limits == pytest.approx([0.6 / 0.93, 0.6 / 1.07] * 2)
    assert (below.gates, below.left_out, truths) == (1, 1, [])
    # Those that are left out were right, each on its side, and no rate has them.
    for side in (below, above):
        assert (side.left_out_right, side.left_out_open, side.left_out_wrong) == (1, 0, 0)
    monkeypatch.setattr(cells, "PATIENCE", 2)
    truths += (*moving, 0.6, 0.5)
    with pytest.raises(SystemExit, match=r"not idle: of 2 pieces of the truth no 5 in a row lay within 3\.5%"):
        cells.cells("numpy, 6 of 10", "idle", (busy, busy, busy), asked, idle, cells.Log())


def test_what_was_left_out_is_counted_beside_the_rates_and_in_none_of_them(
    part: Callable[[str], ModuleType], cell: Callable[..., Any]
) -> None:
    cells, row = part("latency.cell"), part("latency.table").row

    def pair(below: State, above: State) -> object:
        return cells.Pair(0.6, 0.7, *(cells.Answer(state, 1.0, 0.0, 1) for state in (below, above)))

    counted = [pair(State.PASS, State.FAIL)]
    outside = [
        pair(State.PASS, State.PASS),
        pair(State.FAIL, State.FAIL),
        pair(State.INCONCLUSIVE, State.FAIL),
        pair(State.INVALID, State.INCONCLUSIVE),
    ]
    asked, idle = cells.Asked(1, 1.0, 1), cells.Idle(0.6, (1.0, 1.0))
    below, above = (
        cells.summary("numpy, 6 of 10", "idle", side, counted, outside, asked, idle, [(1.0, 1.0)])
        for side in ("below", "above")
    )
    assert row(below)[4] == "4 (1 right, 2 open, 1 wrong)"
    assert row(above)[4] == "4 (2 right, 1 open, 1 wrong)"
    assert (below.gates, below.pass_rate, below.wrong_verdicts) == (1, 1.0, 0.0)
    assert (above.gates, above.fail_rate, above.wrong_verdicts) == (1, 1.0, 0.0)
    # Cells of before know only how many; beside neighbours none is left out.
    assert row(cell(left_out=5))[4] == "5"
    assert row(cell(load="busy1"))[4] == "–"


def test_a_cell_that_was_stopped_in_its_middle_keeps_the_gates_that_this_code_ran_alike_on_this_machine(
    part: Callable[[str], ModuleType], gates: tuple[list[float], list[float]], tmp_path: Path
) -> None:
    cells, (truths, limits) = part("latency.cell"), gates
    log, named = cells.Log(tmp_path / "cells.json.gates"), ("numpy, 6 of 10", "idle")
    asked, idle = cells.Asked(2, 1.0, 1), cells.Idle(0.6, (1.0, 1.0))
    quick = cells.Asked(2, 1.0, 1, 1.5, pauses=None, steady=False)
    pair = cells.Pair(0.5, 0.5, cells.Answer(State.INCONCLUSIVE, 3.0, 0.1, 2), cells.Answer(State.PASS, 5.0, 0.0, 1))
    log.add(*named, asked.way, pair)
    log.add("torch, 6 of 10", "idle", asked.way, pair)
    first, *_ = text = log.path.read_text().split("\n")[1:]
    line = json.loads(first)
    elsewhere, otherwise = ({**line, **one} for one in ({"place": "another machine"}, {"asked": quick.way}))
    before = {name: value for name, value in line.items() if name != "asked"}
    log.path.write_text("\n".join([*text, *map(json.dumps, (elsewhere, otherwise, before)), first[:40]]))
    assert log.read(*named, asked.way) == [pair]
    assert len(log.read(*named, quick.way)) == 1
    truths += [0.7] * 6
    below, above = cells.cells(*named, (busy, busy, busy), asked, idle, log)
    assert limits == pytest.approx([0.7 / 0.93, 0.7 / 1.07])
    assert (below.gates, below.truth, below.pass_rate, below.inconclusive_rate) == (2, 0.6, 0.5, 0.5)
    assert (above.gates, above.fail_rate, above.wrong_verdicts, above.median_seconds) == (2, 0.5, 0.5, 3.0)
    assert len(log.read(*named, asked.way)) == 2


def test_neighbours_end_with_a_benchmark_that_is_killed() -> None:
    """They would keep two processors busy for whatever runs next."""
    script = (
        "import os, psutil, signal\n"
        "from latency.work import neighbours\n"
        "with neighbours('busy2'):\n"
        "    print(*(one.pid for one in psutil.Process().children()), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths},
        timeout=60,
    )  # fmt: skip
    left = [psutil.Process(int(pid)) for pid in ended.stdout.split() if psutil.pid_exists(int(pid))]
    assert len(ended.stdout.split()) == 2
    _, alive = psutil.wait_procs(left, timeout=20)
    assert alive == []
