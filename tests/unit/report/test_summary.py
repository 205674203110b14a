"""The job summary: counts, what is not green, what can be tightened, and everything folded away."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.judge.verdict import State, Verdict
from harness.report.document import Report
from harness.report.summary import VARIABLE, append, markdown


def row(label: str, verdict: State, **more: object) -> Verdict:
    return Verdict(spec="s", label=label, metric=label, verdict=verdict, sentence=f"{label}: x | y → {verdict}", **more)  # type: ignore[arg-type]


def report(*rows: Verdict) -> Report:
    return Report(weighin="1", created="2026-01-01", rows=rows, cases=())


def test_what_is_not_green_stands_first_and_everything_below() -> None:
    lines = markdown(
        report(
            row("a", State.FAIL, unaccepted=True), row("b", State.FAIL), row("c", State.EXPECTED),
            row("d", State.PASS, improved=True), row("e", State.PASS),
        )
    ).splitlines()  # fmt: skip
    assert lines[2] == "2 FAIL (1 of them only because no baseline is stored), 1 EXPECTED FAIL, 2 PASS."
    fold = next(index for index, line in enumerate(lines) if "<details>" in line)
    assert [line for line in lines[:fold] if line.startswith("| s |")] == [
        "| s | a: x \\| y → FAIL |",
        "| s | b: x \\| y → FAIL |",
        "| s | c: x \\| y → EXPECTED FAIL |",
    ]
    assert "- s: d" in lines[:fold]
    assert sum(line.startswith("| s |") for line in lines[fold:]) == 5


def test_a_green_run_lists_nothing_above_the_fold() -> None:
    assert markdown(report(row("a", State.PASS))).splitlines()[:5] == [
        "## weighin", "", "1 PASS.", "", "<details><summary>All budgets</summary>",
    ]  # fmt: skip


def test_it_is_appended_where_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    append(report(row("a", State.PASS)))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "summary.md"))
    for _ in range(2):
        append(report(row("a", State.PASS)))
    assert (tmp_path / "summary.md").read_text().count("## weighin") == 2
