"""The job summary of a CI run: a Markdown table, appended where the CI system collects it."""

from __future__ import annotations

import os
from pathlib import Path

from harness.judge.verdict import State
from harness.report.document import Report, wanting

VARIABLE = "GITHUB_STEP_SUMMARY"


def append(report: Report) -> None:
    """Append the summary to the file that `GITHUB_STEP_SUMMARY` names; does nothing where it names none."""
    target = os.environ.get(VARIABLE)
    if target:
        with Path(target).open("a", encoding="utf-8") as stream:
            stream.write(markdown(report))


def markdown(report: Report) -> str:
    """The counts, then every row that is not green, then the rest folded away."""
    counts = ", ".join(
        f"{count} {state.value}{wanting(report.rows) if state is State.FAIL else ''}"
        for state, count in report.counts().items()
        if count
    )
    worst = [row for row in report.rows if row.verdict is not State.PASS]
    better = [row for row in report.rows if row.improved]
    lines = ["## weighin", "", f"{counts}.", ""]
    if worst:
        lines += ["| spec | verdict |", "|---|---|"]
        lines += [f"| {_cell(row.name)} | {_cell(row.sentence)} |" for row in worst]
        lines.append("")
    if better:
        lines += ["Better than the baseline, which can be tightened:", ""]
        lines += [f"- {_cell(row.name)}: {_cell(row.label)}" for row in better]
        lines.append("")
    lines += ["<details><summary>All budgets</summary>", "", "| spec | verdict |", "|---|---|"]
    lines += [f"| {_cell(row.name)} | {_cell(row.sentence)} |" for row in report.rows]
    return "\n".join([*lines, "", "</details>", ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
