"""The results page: one table a task, written from reports of real runs between the page's markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.judge.verdict import State, Verdict, number, ratio_text
from harness.metrics.base import METRICS
from harness.report.document import CaseRecord, Report
from harness.spec.expectation import EVIDENCE

_MARKED = re.compile(r"<!-- results of (?P<task>[a-z-]+) -->\n.*?<!-- end of results -->", re.DOTALL)
_HEAD = "| spec | steps | size | other costs | time, memory | what it answers, float → compressed | |"
# A spec may bound one figure by several budgets: the same figure is shown once.
_SIZE = "size_mb"


def filled(page: str, reports: Sequence[Report]) -> str:
    """A page with the table of every task between that task's markers written anew.

    Args:
        page: Markdown; ``<!-- results of TASK -->`` and ``<!-- end of results -->`` enclose a table.
        reports: runs, the latest last: a case that several of them hold is taken from the last.

    Raises:
        ValueError: no marker, a marker of a task that no report has, or a task that no marker names.
    """
    held = tables(reports)
    marked = [match["task"] for match in _MARKED.finditer(page)]
    if not marked:
        raise ValueError("the page has no markers, <!-- results of TASK --> and <!-- end of results -->")
    if absent := sorted(set(marked) - held.keys()):
        raise ValueError(f"no report has results of {', '.join(absent)}: give one that has")
    if untold := sorted(held.keys() - set(marked)):
        raise ValueError(f"the page has no markers for {', '.join(untold)}: it would leave results out")
    return _MARKED.sub(
        lambda match: f"<!-- results of {match['task']} -->\n{held[match['task']]}\n<!-- end of results -->", page
    )


def tables(reports: Sequence[Report]) -> dict[str, str]:
    """One table a task, as Markdown, with a row for each case that ran."""
    records: dict[tuple[str, str], tuple[CaseRecord, list[Verdict]]] = {}
    for report in reports:
        rows: dict[tuple[str, str], list[Verdict]] = {}
        for row in report.rows:
            rows.setdefault((row.spec, row.case), []).append(row)
        for record in report.cases:
            if record.task and record.compressed is not None:
                records[record.spec, record.case] = record, rows.get((record.spec, record.case), [])
    lines: dict[str, list[str]] = {}
    for _, (record, own) in sorted(records.items()):
        lines.setdefault(record.task, []).append(_line(record, own))
    return {task: "\n".join([_HEAD, "|" + "---|" * _HEAD[1:].count("|"), *rows]) for task, rows in lines.items()}


def _line(record: CaseRecord, rows: Sequence[Verdict]) -> str:
    name = record.spec.partition("/")[2] + (f" [{record.case}]" if record.case else "")
    shown = {(row.metric, row.value): row for row in rows if row.label != EVIDENCE and row.value is not None}.values()
    sizes = [row for row in shown if row.metric == _SIZE]
    times = [row for row in shown if METRICS[row.metric].machine]
    answers = [row for row in shown if METRICS[row.metric].needs_data and row not in times]
    costs = [row for row in shown if row not in (*sizes, *times, *answers)]
    cells = (
        f"`{name}`", " → ".join(record.steps), *(_joined(_ratio(row, named=row not in sizes) for row in group)
        for group in (sizes, costs, times)), _joined(map(_change, answers)), _states(rows),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _joined(clauses: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(clauses))


def _ratio(row: Verdict, *, named: bool) -> str:
    assert row.value is not None
    metric, label = METRICS[row.metric], f"{row.label} " if named else ""
    # Of what a float model has none, such as zeros, a ratio tells nothing.
    if not row.reference or (metric.better == "higher" and not metric.machine):
        return f"{label}{number(row.value)}"
    return f"{label}× {ratio_text(row.value / row.reference)}"


def _change(row: Verdict) -> str:
    assert row.value is not None
    if METRICS[row.metric].relative or row.reference is None:
        return f"{row.metric} {number(row.value)}"
    return f"{row.metric} {number(row.reference)} → {number(row.value)}"


def _states(rows: Sequence[Verdict]) -> str:
    """PASS, or what is not: by label."""
    other = [f"{row.label} {row.verdict}" for row in rows if row.verdict is not State.PASS]
    return ", ".join(other) or str(State.PASS)
