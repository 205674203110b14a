"""What the tests of benchmarks share: their modules, made-up cells, and gates that cost no time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.judge.verdict import State

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def cell(part: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """A latency cell of this code on this machine, of a full run, but for what is given."""
    own = {"place": part("latency.log").place(), "asked": part("latency.cell").Asked(200, 20.0, 20).way}

    def made(**changes: object) -> Any:
        figures = dict(
            workload="numpy, 6 of 10", load="idle", side="below", truth=0.6, truth_idle=0.6, limit=0.645, gates=200,
            pass_rate=0.995, fail_rate=0.0, inconclusive_rate=0.0, invalid_rate=0.0, wrong_verdicts=0.0,
            median_seconds=0.9, longest_seconds=2.0, others=0.01, peer=0.05, peer_mean=0.1, peer_runs=20,
        )  # fmt: skip
        return part("latency.cell").Cell(**{**figures, **own, **changes})

    return made


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


@pytest.fixture
def latency_gate(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The benchmark of latency verdicts with these arguments: its exit code, and what it has printed.

    The idle truth of any work is 0.6, and takes no time.
    """
    for name, one in part("latency.work").ONE_THREAD.items():
        monkeypatch.setenv(name, one)
    script = part("latency_gate")
    monkeypatch.setattr(script, "truth", lambda reference, compressed, seconds: 0.6)
    monkeypatch.setattr(script, "stored_run", lambda call: (1.0, 1.0))

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["latency_gate.py", *map(str, arguments)])
        code: int = script.main()
        return code, capsys.readouterr().out

    return run
