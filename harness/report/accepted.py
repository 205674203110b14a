"""Tables of what was accepted last, from the stored baselines: every shipped case, whether a report has it or not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import baselines
from harness.judge.baseline import CaseBaseline
from harness.methods.base import METHODS
from harness.report.results import Figure, called, columns
from harness.spec.files import below
from harness.spec.load import load

# `with METHODS` on a page of methods: a case stands in the first table whose methods are all that it takes, else under
# `with other combinations`. `of TASK` on a page of results: the cases of a task that the table before it does not have.
_MARKED = re.compile(r"<!-- accepted (?P<kind>with|of) (?P<what>[^>]+?) -->\n.*?<!-- end of accepted -->", re.DOTALL)
_RESULTS = re.compile(r"<!-- results of (?P<task>[a-z-]+) -->\n(?P<rows>.*?)<!-- end of results -->", re.DOTALL)
OTHERS = "other combinations"
_APART = "Accepted last, and not in these runs:"
_HEAD = "| spec | steps | size | other costs | time, memory | what it answers, float → compressed |"


@dataclass(frozen=True)
class Accepted:
    """What was accepted last of one shipped case.

    Attributes:
        spec: its id, below `specs/`.
        task: of the spec.
        name: what a table calls the case, where no other task has one of that name.
        full: what it calls it there.
        tier: when it runs.
        steps: names of its methods, in order.
        figures: what was accepted; a time as its ratio to the float model's, on the machine that was accepted on last.
    """

    spec: str
    task: str
    name: str
    full: str
    tier: str
    steps: tuple[str, ...]
    figures: tuple[Figure, ...]

    def line(self, name: str) -> str:
        """Its row under that name."""
        first = f"`{name}`" + ("" if self.tier == "ci" else f" ({self.tier})")
        return f"| {' | '.join((first, told_once(self.steps), *columns(self.figures)))} |"


def told_once(steps: Sequence[str]) -> str:
    """Steps in order, those that are taken again and again told once: ``(prune → distil) × 5 → encode``."""
    parts, at = [], 0
    while at < len(steps):
        # The period that spares most; a step that is taken once is a period of its own.
        rounds = [(_rounds(steps, at, period), period) for period in range(1, len(steps) - at + 1)]
        count, period = max(rounds, key=lambda one: ((one[0] - 1) * one[1], -one[1]))
        once = " → ".join(steps[at : at + period])
        once = f"({once})" if count > 1 and period > 1 else once
        parts.append(f"{once} × {count}" if count > 1 else once)
        at += count * period
    return " → ".join(parts)


def _rounds(steps: Sequence[str], at: int, period: int) -> int:
    """How often the next `period` steps come in a row."""
    count = 1
    while steps[at + count * period : at + (count + 1) * period] == steps[at : at + period]:
        count += 1
    return count


def shipped(root: Path) -> list[Accepted]:
    """Every case of every spec that a run collects below a root's `specs/`; in alphabetical order.

    Raises:
        SpecError, BaselineError: a spec or a baseline cannot be read.
        ValueError: nothing was accepted of a case yet.
    """
    found = []
    for path in below(root / "specs")[0]:
        file = load(path)
        held = baselines.read(root, file.id)
        for case in file.cases:
            full = file.id + (f" [{case.name}]" if case.name else "")
            if held is None or case.name not in held.cases:
                raise ValueError(f"nothing was accepted of {full} yet")
            steps = tuple(step.method for step in case.spec.compress)
            figures = _figures(held.cases[case.name])
            name = called(file.id, case.name)
            found.append(Accepted(file.id, case.spec.task, name, full, case.spec.tier, steps, figures))
    return found


def _figures(case: CaseBaseline) -> tuple[Figure, ...]:
    machines = sorted(case.machines.values(), key=lambda machine: machine.accepted)
    labels = {**case.portable, **(machines[-1].labels if machines else {})}
    found: dict[tuple[str, float], Figure] = {}
    for label, one in sorted(labels.items()):
        value, reference = (one.value, one.reference) if one.ratio is None else (one.ratio[1], 1.0)
        found.setdefault((one.metric, one.value), Figure(label, one.metric, value, reference))
    return tuple(found.values())


def marked(page: str) -> bool:
    """Whether a page has a table of what was accepted."""
    return _MARKED.search(page) is not None


def filled(page: str, cases: Sequence[Accepted]) -> str:
    """A page with every table between ``<!-- accepted … -->`` and ``<!-- end of accepted -->`` written anew.

    Raises:
        ValueError: a marker names no method, or a page of methods has no table for a case.
    """
    groups = [tuple(match["what"].split(", ")) for match in _MARKED.finditer(page) if match["kind"] == "with"]
    for method in {method for group in groups if group != (OTHERS,) for method in group}:
        METHODS[method]
    held: dict[tuple[str, ...], list[Accepted]] = {group: [] for group in groups}
    for case in cases if groups else ():
        fitting = [group for group in groups if {*case.steps} <= {*group}]
        place = fitting[0] if fitting else (OTHERS,)
        if place not in held:
            raise ValueError(f"no table of the page takes {case.spec}, whose steps are {' → '.join(case.steps)}")
        held[place].append(case)
    names = Counter(case.name for case in cases)
    told = {match["task"]: match["rows"] for match in _RESULTS.finditer(page)}

    def table(match: re.Match[str]) -> str:
        opening = match[0].partition("\n")[0]
        if match["kind"] == "with":
            chosen = held[tuple(match["what"].split(", "))]
        else:
            above = told.get(match["what"], "")
            chosen = [case for case in cases if case.task == match["what"] and f"| `{case.name}` |" not in above]
            if not chosen:
                return f"{opening}\n<!-- end of accepted -->"
            opening += f"\n{_APART}\n"
        rows = [case.line(case.name if names[case.name] == 1 else case.full) for case in chosen]
        rule = "|" + "---|" * _HEAD[1:].count("|")
        return "\n".join([opening, _HEAD, rule, *rows, "<!-- end of accepted -->"])

    return _MARKED.sub(table, page)
