"""What an expected failure must name to mean anything: a budget of its spec, and the one way in which it breaks."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import closest
from harness.metrics.base import Metric
from harness.spec.expectation import EVIDENCE, REGRESS, ExpectFail, breakable
from harness.spec.faults import Fault
from harness.spec.reader import Location
from harness.spec.schema import Spec


def faults(spec: Spec) -> Iterator[Fault]:
    """Every entry of `expect_fail` that means nothing."""
    told: set[tuple[tuple[str, ...], str | None, str | None]] = set()
    for index, entry in enumerate(spec.expect_fail):
        at: Location = ("expect_fail", index)
        yield from _named(at, entry, spec)
        said = (entry.labels(spec.budgets), entry.bound, entry.says)
        if said in told:
            yield Fault(at, f"{entry.metric} is expected to break so twice; keep one entry", on_key=True)
        told.add(said)


def _named(at: Location, entry: ExpectFail, spec: Spec) -> Iterator[Fault]:
    """What an expected failure must name: a budget of this spec, and the one way in which it breaks."""
    labels = entry.labels(spec.budgets)
    if len(labels) > 1:
        yield Fault(
            (*at, "metric"),
            f"{entry.metric} is measured by several budgets; name one by its label: {', '.join(labels)}",
        )
    elif not labels:
        names = (*spec.budgets, EVIDENCE)
        near = closest(entry.metric, names)
        hint = f". Did you mean {near!r}?" if near else ""
        yield Fault((*at, "metric"), f"no budget is called {entry.metric!r}; there are: {', '.join(names)}{hint}")
    elif labels[0] == EVIDENCE:
        if entry.verdict != "INVALID":
            yield Fault((*at, "verdict"), f"evidence is never {entry.verdict}: where it contradicts, it is INVALID")
        if entry.bound is not None:
            yield Fault((*at, "bound"), "evidence has no bounds; say what its sentence holds with `says`", on_key=True)
        elif entry.says is None:
            yield _unsaid(at)
    else:
        yield from _breaking(at, entry, spec.budgets[labels[0]], labels[0])


def _breaking(at: Location, entry: ExpectFail, budget: Metric, label: str) -> Iterator[Fault]:
    own = breakable(budget)
    if entry.bound is not None and entry.bound not in (*budget.bounds(), REGRESS):
        set_here = ", ".join((*budget.bounds(), REGRESS))
        near = closest(entry.bound, (*budget.bounds(), REGRESS))
        hint = f". Did you mean {near!r}?" if near else ""
        yield Fault((*at, "bound"), f"{label} sets no {entry.bound}; what can break is: {set_here}{hint}")
    elif entry.bound is not None and entry.bound.startswith("reference_") and entry.verdict != "INVALID":
        yield Fault((*at, "verdict"), f"{entry.bound} is never {entry.verdict}: where it breaks, it is INVALID")
    elif entry.bound is None and entry.verdict == "INVALID" and entry.says is None:
        yield _unsaid(at)
    elif entry.bound is None and entry.verdict != "INVALID" and len(own) > 1:
        yield Fault(at, f"{label} has several bounds; say with `bound` which one breaks: {', '.join(own)}", on_key=True)


def _unsaid(at: Location) -> Fault:
    return Fault(
        at, "INVALID has many causes, and one is expected: say with `says` what stands in the sentence", on_key=True
    )
