"""What `make nightly` runs: the long specs, and then the whole grid of latency verdicts, whatever the specs say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  *"-m pytest"*) exit "$SPECS" ;;
  *latency_gate.py*) exit "$GRID" ;;
esac
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.mark.parametrize(
    ("specs", "grid", "green", "ran"),
    [
        (0, 0, True, True),
        (11, 0, False, True),
        (0, 1, False, True),
        # Whoever interrupts pytest wants nothing of hours to begin.
        (2, 0, False, False),
    ],
)
def test_the_grid_follows_the_specs_and_each_can_fail_the_night(
    tmp_path: Path, specs: int, grid: int, green: bool, ran: bool
) -> None:
    python, calls = tmp_path / "bin" / "python", tmp_path / "calls"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    # The environment is there already.
    for name in (".locked", ".installed"):
        (tmp_path / name).touch()
    given = {"CALLS": str(calls), "SPECS": str(specs), "GRID": str(grid), "MAKEFLAGS": ""}
    done = subprocess.run(
        ["make", "nightly", f"VENV={tmp_path}", "PYTHON=false"],
        cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is green, done.stderr
    _, first, *more = calls.read_text().splitlines()
    assert first == "-m pytest -m spec specs --tier nightly --weighin-report report"
    assert more == ["benchmarks/latency_gate.py --json rates/latency.json"] * ran
