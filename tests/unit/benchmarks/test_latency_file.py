"""The FILE of benchmarks/latency_gate.py: what it holds, what a run goes on from, and what is shown of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Gates = tuple[list[float], list[float]]
Run = Callable[..., tuple[int, str]]
QUICK = ("--quick", "--work", "numpy", "--json")
FULL = ("--work", "numpy", "--cells", "idle", "--json")


def rows(said: str) -> list[str]:
    """Of the table on the terminal."""
    return [line for line in said.splitlines() if line.startswith("numpy, 6 of 10 ")]


def test_a_complete_file_is_shown_and_held_to_the_claims_again(
    part: Callable[[str], ModuleType], cell: Callable[..., Any], latency_gate: Run, tmp_path: Path
) -> None:
    done = [
        cell(workload=name, side=side, pass_rate=0.995 * (side == "below"), fail_rate=float(side == "above"))
        for name in part("latency.work").WORKLOADS
        for side in ("below", "above")
    ]
    path = tmp_path / "cells.json"
    path.write_text(json.dumps([asdict(one) for one in done]))
    code, said = latency_gate("--cells", "idle", "--json", path)
    assert code == 0
    assert ["7 % below limit" in row for row in rows(said)] == [True, False]
    assert "idle, 7 % below the limit: at least 99.5% PASS (target 99 %)" in said
    assert "wrong verdicts: at most 0.0% in any cell" in said
    assert "10 cells" in said
    _, said = latency_gate("--markdown", "--json", path)
    lines = said.splitlines()
    assert len(lines) == 12
    assert lines[2].startswith("| numpy, 6 of 10 | idle | 0.600, 7 % below limit | 200 | 0 | 99.5% |")


def test_a_cell_is_written_with_these_keys_into_a_folder_that_is_made(
    gates: Gates, latency_gate: Run, tmp_path: Path
) -> None:
    """Of verdicts on times there are false passes and false FAILs alike: `wrong_verdicts` has both."""
    gates[0].extend([0.6] * 8)
    path = tmp_path / "new" / "folder" / "cells.json"
    code, _ = latency_gate(*QUICK, path)
    below, above = json.loads(path.read_text())
    assert code == 0
    assert list(below) == list(above)
    assert set(below) == {
        "workload", "load", "side", "truth", "truth_idle", "truth_least", "truth_most", "limit", "gates", "pass_rate",
        "fail_rate", "inconclusive_rate", "invalid_rate", "wrong_verdicts", "median_seconds", "longest_seconds",
        "others", "taken_again", "left_out", "left_out_right", "left_out_open", "left_out_wrong", "peer", "peer_mean",
        "peer_runs", "place", "asked",
    }  # fmt: skip
    told = ("side", "gates", "pass_rate", "fail_rate", "wrong_verdicts", "median_seconds", "peer", "peer_runs")
    assert [below[name] for name in told] == ["below", 3, 1.0, 0.0, 0.0, 1.0, 0.0, 2]
    assert [above[name] for name in told] == ["above", 3, 0.0, 1.0, 0.0, 1.0, 0.0, 2]
    assert below["asked"] == {"segment_s": 1.5, "pauses": None, "steady": False}


def test_gates_of_a_quick_run_are_none_of_a_full_one_s(gates: Gates, latency_gate: Run, tmp_path: Path) -> None:
    truths, limits = gates
    path = tmp_path / "cells.json"
    # Five pieces, and one after each pair.
    truths += [0.6] * 8
    latency_gate(*QUICK, path)
    truths += [0.6] * 9
    code, said = latency_gate("--gates", 4, *FULL, path)
    assert (code, len(limits), truths) == (0, 14, [])
    assert "2 cells; this run" in said
    assert "keeps 2 cells of other code, machines or ways" in said
    assert [one["gates"] for one in json.loads(path.read_text())] == [3, 3, 4, 4]
    # There is no truth left: what is complete is shown, and nothing is run.
    for arguments in (QUICK, ("--gates", 4, *FULL)):
        code, said = latency_gate(*arguments, path)
        assert (code, len(rows(said)), len(limits)) == (0, 2, 14)


def test_cells_of_fewer_gates_are_gone_on_with(gates: Gates, latency_gate: Run, tmp_path: Path) -> None:
    truths, limits = gates
    path = tmp_path / "cells.json"
    truths += [0.6] * 7
    latency_gate("--gates", 2, *FULL, path)
    truths += [0.6] * 6
    latency_gate("--gates", 3, *FULL, path)
    assert (len(limits), truths) == (6, [])
    assert [one["gates"] for one in json.loads(path.read_text())] == [3, 3]
    # And those of more are enough.
    latency_gate("--gates", 2, *FULL, path)
    assert len(limits) == 6


def test_cells_of_other_code_and_machines_stay_in_the_file_and_are_taken_for_no_new_ones(
    gates: Gates, latency_gate: Run, cell: Callable[..., Any], tmp_path: Path
) -> None:
    truths, limits = gates
    path = tmp_path / "cells.json"
    since = ("place", "asked", "left_out_right", "left_out_open", "left_out_wrong")
    before = {name: value for name, value in asdict(cell(pass_rate=0.25)).items() if name not in since}
    elsewhere = asdict(cell(place="another machine", pass_rate=0.5))
    path.write_text(json.dumps([before, elsewhere]))
    truths += [0.6] * 7
    code, said = latency_gate("--gates", 2, *FULL, path)
    assert (code, len(limits), truths) == (0, 4, [])
    assert "25.0%" not in said
    assert "50.0%" not in said
    first, second, *new = json.loads(path.read_text())
    assert {**first, **before} == first
    assert second == elsewhere
    assert [one["gates"] for one in new] == [2, 2]
    _, said = latency_gate("--markdown", "--json", path)
    own, oldest, quarter, foreign, half = said.strip().split("\n\n")
    assert own.count("| numpy, 6 of 10 |") == 2
    assert oldest == "Of another run, place unknown, asked unknown:"
    assert "| 25.0% |" in quarter
    assert foreign.startswith('Of another run, place another machine, asked {"segment_s": 2.0, ')
    assert "| 50.0% |" in half


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(
    gates: Gates, latency_gate: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    (tmp_path / "cells.json.gates").mkdir()
    for path, why in (
        (tmp_path / "taken" / "cells.json", "taken is no folder"),
        # It would else be found out after the first pair of gates.
        (tmp_path / "cells.json", "cells.json.gates is a folder"),
    ):
        with pytest.raises(SystemExit) as ended:
            latency_gate(*QUICK, path)
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert "argument --json: " in said
        assert why in said
    assert gates == ([], [])
