"""The report as one HTML page that needs nothing else: no network, no script, readable on paper and on a phone."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from harness.evidence import Evidence
from harness.judge.figures import number
from harness.judge.verdict import State, Verdict
from harness.metrics.base import METRICS
from harness.report.document import CaseRecord, Flips, Report, wanting
from harness.report.figure import Bar, bar, ratios, strip
from harness.run.environment import Environment
from harness.spec.expectation import ExpectFail
from harness.spec.files import with_case

MEANINGS = {
    State.PASS: "every bound is kept, and where samples or times are behind it, proven to be kept",
    State.FAIL: "a bound is broken, and where samples or times are behind it, proven to be broken",
    State.INCONCLUSIVE: "the measurement cannot tell yet: more samples or a quieter machine would",
    State.INVALID: "it could not be measured, or the figure means nothing",
    State.EXPECTED: "it breaks as the spec expects, for a reason that somebody answers for until a day: not green",
    State.NOT_RUN: "this machine lacks what the spec requires, or the bound belongs to another machine",
}

EXAMPLE = Bar((0.0, 0.62), 0.62, (0.3, 0.46), 0.38, 0.78, "an example")


@dataclass(frozen=True)
class Group:
    """One case: its rows, and what stands behind them (None where the spec could not be read)."""

    name: str
    anchor: str
    rows: tuple[Verdict, ...]
    record: CaseRecord | None

    @property
    def states(self) -> set[State]:
        """The verdicts among its rows."""
        return {row.verdict for row in self.rows}

    @property
    def worst(self) -> State:
        """The verdict that the case as a whole has."""
        return min(self.states, key=list(State).index)


@dataclass(frozen=True)
class Count:
    """One line of evidence: a figure of the float artifact beside the compressed one's; None where it has none."""

    name: str
    reference: int | None
    compressed: int | None


def render(report: Report) -> str:
    """The page."""
    from jinja2 import Environment as Templates
    from jinja2 import PackageLoader, StrictUndefined

    templates = Templates(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(number=number)
    templates.globals.update(
        bar=bar,
        strip=strip,
        ratios=ratios,
        dtypes=dtypes,
        operators=operators,
        flipped=flipped,
        unlisted=unlisted,
        State=State,
    )
    groups = grouped(report)
    return templates.get_template("report.html.j2").render(
        report=report,
        groups=groups,
        counts={state: count for state, count in report.counts().items() if count},
        headline=headline(report),
        meanings=MEANINGS,
        machines=machines(groups),
        expected=expected(groups),
        tighter=tighter(groups),
        example=EXAMPLE,
    )


def available() -> bool:
    """Whether the extra `report` is installed, which brings the template engine."""
    return importlib.util.find_spec("jinja2") is not None


def write(report: Report, folder: Path) -> Path | None:
    """Write ``report.html`` into a folder, whole or not at all; None where the extra `report` is not installed."""
    if not available():
        return None
    path = folder / "report.html"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(render(report), encoding="utf-8")
    temporary.replace(path)
    return path


def headline(report: Report) -> str:
    """The outcome in one sentence."""
    counts, total = report.counts(), len(report.rows)
    if not total:
        return "No budget was checked."
    if counts[State.PASS] == total:
        return f"All {total} checks pass." if total > 1 else "The one check passes."
    parts = [
        f"{counts[state]} {verb}{wanting(report.rows) if state is State.FAIL else ''}"
        for state, verb in (
            (State.FAIL, "fail"),
            (State.INVALID, "could not be measured"),
            (State.INCONCLUSIVE, "undecided"),
            (State.EXPECTED, "expected to fail"),
            (State.NOT_RUN, "not run here"),
        )
        if counts[state]
    ]
    return f"{counts[State.PASS]} of {total} checks pass: {', '.join(parts)}."


def grouped(report: Report) -> list[Group]:
    """Rows by case, the worst case first; cases of one verdict keep the order of the run."""
    records = {(record.spec, record.case): record for record in report.cases}
    rows: dict[tuple[str, str], list[Verdict]] = {}
    for row in report.rows:
        rows.setdefault((row.spec, row.case), []).append(row)
    groups = [
        Group(with_case(spec, case), f"case-{index}", tuple(own), records.get((spec, case)))
        for index, ((spec, case), own) in enumerate(rows.items(), start=1)
    ]
    return sorted(groups, key=lambda group: list(State).index(group.worst))


def expected(groups: list[Group]) -> list[tuple[str, str, ExpectFail]]:
    """Case, label and terms of every failure that is borne, the day that comes first first."""
    found = [(group.name, row.label, entry) for group in groups for row in group.rows for entry in row.expected]
    return sorted(found, key=lambda one: one[2].until)


def tighter(groups: list[Group]) -> list[tuple[str, list[str]]]:
    """Each case whose figures left their baselines behind, with the labels."""
    found = [(group.name, [row.label for row in group.rows if row.improved]) for group in groups]
    return [(name, labels) for name, labels in found if labels]


def machines(groups: list[Group]) -> list[tuple[Environment, list[Group]]]:
    """Each machine with the cases that were measured on it."""
    found: list[tuple[Environment, list[Group]]] = []
    for group in groups:
        if group.record is None:
            continue
        own = next((cases for machine, cases in found if machine == group.record.environment), None)
        if own is None:
            found.append((group.record.environment, [group]))
        else:
            own.append(group)
    return found


def flipped(group: Group, label: str, flips: Flips) -> list[tuple[tuple[str, ...], int, str]]:
    """The names that a budget lists, each list with how many there are and what happened; empty ones are left out."""
    # A metric that is relative by nature has no right and wrong: the float model's answer is the yardstick.
    relative = any(row.label == label and row.metric in METRICS and METRICS[row.metric].relative for row in group.rows)
    lost = "answered differently from float" if relative else f"lost: {flips.lost_means}"
    return [
        (names, total, what)
        for names, total, what in (
            (flips.lost, flips.lost_total, lost),
            (flips.won, flips.won_total, f"won: {flips.won_means}"),
        )
        if names
    ]


def unlisted(record: CaseRecord) -> list[tuple[str, str]]:
    """Label and table of what has no list of samples that changed, which would link to its table."""
    listed = {label for label, flips in record.flips.items() if flips.lost or flips.won}
    return [(label, path) for label, path in record.tables.items() if label not in listed]


def dtypes(record: CaseRecord) -> list[Count]:
    """Elements of weight matrices by stored type, the most frequent of the compressed artifact first."""
    return _counts(_of(record.reference, "dtypes"), _of(record.compressed, "dtypes"))


def operators(record: CaseRecord) -> list[Count]:
    """Operators of the graph, the most frequent of the compressed artifact first."""
    return _counts(_of(record.reference, "operators"), _of(record.compressed, "operators"))


def _of(evidence: Evidence | None, name: str) -> dict[str, int]:
    return dict(getattr(evidence, name)) if evidence is not None else {}


def _counts(reference: dict[str, int], compressed: dict[str, int]) -> list[Count]:
    names = sorted(reference | compressed, key=lambda name: (-compressed.get(name, 0), -reference.get(name, 0), name))
    return [Count(name, reference.get(name), compressed.get(name)) for name in names]
