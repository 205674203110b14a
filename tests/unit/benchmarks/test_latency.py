"""The arithmetic of benchmarks/latency_gate.py: what it counts as wrong, and that it goes on where it was stopped."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from harness.judge.verdict import State
from harness.measurement import Timings

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


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


def cell(part: Callable[[str], ModuleType], **changes: object) -> object:
    figures = dict(
        workload="numpy, 6 of 10", load="idle", side="below", truth=0.6, truth_idle=0.6, limit=0.645, gates=200,
        pass_rate=0.995, fail_rate=0.0, inconclusive_rate=0.0, invalid_rate=0.0, wrong_verdicts=0.0, median_seconds=0.9,
        longest_seconds=2.0, others=0.01, peer=0.05, peer_mean=0.1, peer_runs=20,
    )  # fmt: skip
    return part("latency.cell").Cell(**{**figures, **changes})


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
    ],
)
def test_a_cell_that_misses_its_claim_is_told(
    part: Callable[[str], ModuleType], changes: dict[str, object], said: str | None
) -> None:
    found = part("latency.table").missed([cell(part, **changes)])
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_run_goes_on_where_it_was_stopped_and_says_what_was_reached(
    part: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = [
        cell(part, workload=name, side=side, pass_rate=0.995 * (side == "below"), fail_rate=float(side == "above"))
        for name in part("latency.work").WORKLOADS
        for side in ("below", "above")
    ]
    path = tmp_path / "cells.json"
    path.write_text(json.dumps([asdict(cell) for cell in done]))
    for name, one in part("latency.work").ONE_THREAD.items():
        monkeypatch.setenv(name, one)
    monkeypatch.setattr(sys, "argv", ["latency_gate.py", "--cells", "idle", "--json", str(path)])
    assert part("latency_gate").main() == 0
    said = capsys.readouterr().out
    assert "idle, 7 % below the limit: at least 99.5% PASS (target 99 %)" in said
    assert "wrong verdicts: at most 0.0% in any cell" in said
    assert "10 cells" in said
    monkeypatch.setattr(sys, "argv", ["latency_gate.py", "--markdown", "--json", str(path)])
    part("latency_gate").main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[2].startswith("| numpy, 6 of 10 | idle | 0.600, 7 % below limit | 200 | 0 | 99.5% |")


def test_cells_of_fewer_gates_are_run_anew(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    gate, path = part("latency_gate"), tmp_path / "cells.json"
    path.write_text(json.dumps([asdict(cell(part, gates=6)), asdict(cell(part, load="busy1"))]))
    assert [one.load for one in gate.read(path, 200)] == ["busy1"]
    assert len(gate.read(path, 6)) == 2


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


@pytest.fixture
def gates(part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[float]]:
    """Truths that are found from now on, and the limits of the gates that are asked, which are always right."""
    cells, truths, limits = part("latency.cell"), list[float](), list[float]()
    monkeypatch.setattr(cells, "truth", lambda reference, compressed, seconds: truths.pop(0))
    monkeypatch.setattr(cells, "stored_run", lambda call: (1.0, 1.0))

    def gate(work: object, limit: float, pauses: object) -> object:
        limits.append(limit)
        return cells.Answer(State.PASS if len(limits) % 2 else State.FAIL, 1.0, 0.0, 1)

    monkeypatch.setattr(cells, "gate", gate)
    return truths, limits


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
    below, _ = cells.cells("numpy, 6 of 10", "idle", (busy, busy, busy), asked, idle, cells.Log())
    assert limits == pytest.approx([0.6 / 0.93, 0.6 / 1.07] * 2)
    assert (below.gates, below.left_out, truths) == (1, 1, [])
    monkeypatch.setattr(cells, "PATIENCE", 2)
    truths += (*moving, 0.6, 0.5)
    with pytest.raises(SystemExit, match=r"not idle: of 2 pieces of the truth no 5 in a row lay within 3\.5%"):
        cells.cells("numpy, 6 of 10", "idle", (busy, busy, busy), asked, idle, cells.Log())


def test_a_cell_that_was_stopped_in_its_middle_keeps_the_gates_of_this_code_on_this_machine(
    part: Callable[[str], ModuleType], gates: tuple[list[float], list[float]], tmp_path: Path
) -> None:
    cells, (truths, limits) = part("latency.cell"), gates
    log, named = cells.Log(tmp_path / "cells.json.gates"), ("numpy, 6 of 10", "idle")
    pair = cells.Pair(0.5, 0.5, cells.Answer(State.INCONCLUSIVE, 3.0, 0.1, 2), cells.Answer(State.PASS, 5.0, 0.0, 1))
    log.add(*named, pair)
    log.add("torch, 6 of 10", "idle", pair)
    first, *_ = text = log.path.read_text().split("\n")[1:]
    elsewhere = json.dumps({**json.loads(first), "place": "another machine"})
    log.path.write_text("\n".join([*text, elsewhere, first[:40]]))
    assert log.read(*named) == [pair]
    truths += [0.7] * 6
    asked, idle = cells.Asked(2, 1.0, 1), cells.Idle(0.6, (1.0, 1.0))
    below, above = cells.cells(*named, (busy, busy, busy), asked, idle, log)
    assert limits == pytest.approx([0.7 / 0.93, 0.7 / 1.07])
    assert (below.gates, below.truth, below.pass_rate, below.inconclusive_rate) == (2, 0.6, 0.5, 0.5)
    assert (above.gates, above.fail_rate, above.wrong_verdicts, above.median_seconds) == (2, 0.5, 0.5, 3.0)
    assert len(log.read(*named)) == 2
