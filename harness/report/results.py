"""The results page: one table a task, written from reports of real runs between the page's markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.judge.figures import number, ratio_text
from harness.judge.verdict import State, Verdict
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
        reports: runs, the latest last: a case that several of them hold is taken from the last that did not leave it
            `NOT RUN`.

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
    """One table a task, as Markdown, with a row for each case that ran, whatever came of it."""
    records: dict[tuple[str, str], tuple[CaseRecord, list[Verdict]]] = {}
    for report in reports:
        rows: dict[tuple[str, str], list[Verdict]] = {}
        for row in report.rows:
            rows.setdefault((row.spec, row.case), []).append(row)
        told = {(record.spec, record.case): record for record in report.cases if record.task}
        for key in told | rows:
            # Of what was lost before it had a result there is no record: the steps are the ones that were told before.
            record = told.get(key) or (records[key][0] if key in records else None)
            judged = rows.get(key, [])
            measured = key in told and told[key].compressed is not None
            if record is None and not key[1]:
                # A file that cannot be read any more has no cases: what it says is said of all that it had.
                records |= {one: (records[one][0], judged) for one in records if one[0] == key[0]}
            if record is not None and (measured or any(row.verdict is not State.NOT_RUN for row in judged)):
                records[key] = record, judged
    lines: dict[str, list[str]] = {}
    for _, (record, own) in sorted(records.items()):
        lines.setdefault(record.task, []).append(_line(record, own))
    return {task: "\n".join([_HEAD, "|" + "---|" * _HEAD[1:].count("|"), *rows]) for task, rows in lines.items()}


def _line(record: CaseRecord, rows: Sequence[Verdict]) -> str:
    shown = {(row.metric, row.value): row for row in rows if row.label != EVIDENCE and row.value is not None}.values()
    figures = [Figure(row.label, row.metric, row.value, row.reference) for row in shown if row.value is not None]
    cells = (f"`{called(record.spec, record.case)}`", " → ".join(record.steps), *columns(figures), _states(rows))
    return f"| {' | '.join(cells)} |"


def called(spec: str, case: str) -> str:
    """What a table calls a case: its task, the first folder of an id that has one, is said above it."""
    return (spec.partition("/")[2] or spec) + (f" [{case}]" if case else "")


@dataclass(frozen=True)
class Figure:
    """One figure of a case.

    Attributes:
        label: of its budget.
        metric: name of what was measured.
        value: the compressed model's.
        reference: the float model's; None or 0 where a ratio to it means nothing.
    """

    label: str
    metric: str
    value: float
    reference: float | None


def columns(figures: Sequence[Figure]) -> tuple[str, str, str, str]:
    """Size, other costs, time and memory, and what the models answer."""
    sizes = [one for one in figures if one.metric == _SIZE]
    times = [one for one in figures if METRICS[one.metric].machine]
    answers = [one for one in figures if METRICS[one.metric].needs_data and one not in times]
    costs = [one for one in figures if one not in (*sizes, *times, *answers)]
    size, cost, time = (
        _joined(_ratio(one, named=one not in sizes) for one in group) for group in (sizes, costs, times)
    )
    return size, cost, time, _joined(map(_change, answers))


def _joined(clauses: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(clauses))


def _ratio(figure: Figure, *, named: bool) -> str:
    metric, label = METRICS[figure.metric], f"{figure.label} " if named else ""
    # Of what a float model has none, such as zeros, a ratio tells nothing.
    if not figure.reference or (metric.better == "higher" and not metric.machine):
        return f"{label}{number(figure.value)}"
    return f"{label}× {ratio_text(figure.value / figure.reference)}"


def _change(figure: Figure) -> str:
    if METRICS[figure.metric].relative or figure.reference is None:
        return f"{figure.metric} {number(figure.value)}"
    return f"{figure.metric} {number(figure.reference)} → {number(figure.value)}"


def _states(rows: Sequence[Verdict]) -> str:
    """PASS, or what is not: by label."""
    other = [f"{row.label} {row.verdict}" for row in rows if row.verdict is not State.PASS]
    return ", ".join(other) or str(State.PASS)
