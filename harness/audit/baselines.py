"""Two states of a baseline: which accepted figures became worse, and the reason that its history gives for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.audit.finding import Loosened
from harness.judge.match import differing, same_machine
from harness.judge.place import moved
from harness.metrics.base import METRICS

Body = Mapping[str, Any]
# Case → what it is called now, and of each of its labels what that is called now.
Heirs = Mapping[str, tuple[str, Mapping[str, str]]]


def loosened(old: Body, new: Body, heirs: Heirs) -> Iterator[Loosened]:
    """Everything that a baseline asks less of than it did, by the names that the spec has now.

    A case of which nothing is held any more has no label and no reason: its history is gone with it.

    Args:
        old: what the file held.
        new: what it holds.
        heirs: what became of each case and of its budgets; what the spec lost is its own loosening.
    """
    for was, case in old.get("cases", {}).items():
        if was not in heirs:
            continue
        name, labels = heirs[was]
        now = new.get("cases", {}).get(name, {})
        fresh = _fresh(case, now)
        if not now:
            yield Loosened("", "baseline", "accepted", None, name)
            continue
        for label, held in case.get("portable", {}).items():
            if label in labels:
                found = now.get("portable", {}).get(labels[label])
                yield from _figure(name, labels[label], held, found, fresh)
        for fingerprint, machine in case.get("machines", {}).items():
            for label, held in machine.get("labels", {}).items():
                if label in labels:
                    yield from _timed(name, labels[label], (fingerprint, machine, held), case, now, fresh)
        yield from _added(name, labels, case, now, fresh)


def _fresh(old: Body, new: Body) -> list[Body]:
    """The entries of the history that were not there before, the latest first."""
    before = list(old.get("history", ()))
    return [entry for entry in reversed(new.get("history", ())) if entry not in before]


def _reason(fresh: list[Body], label: str, *, removed: bool = False) -> str | None:
    """What was said when the figure was accepted; a figure that is gone stands in no entry."""
    return next((one["reason"] for one in fresh if removed or label in one.get("values", {})), None)


def _figure(case: str, label: str, old: Body, new: Body | None, fresh: list[Body]) -> Iterator[Loosened]:
    if new is None:
        reason = _reason(fresh, label, removed=True)
        yield Loosened("", "baseline value", old.get("value"), None, case, label, reason)
        return
    reason = _reason(fresh, label)
    was, now = (f"{one.get('metric')} version {one.get('metric_version')}" for one in (old, new))
    if was != now:
        yield Loosened("", "baseline metric", was, now, case, label, reason)
        return
    then, since = ((one.get("outcomes") or {}).get("data") for one in (old, new))
    if then != since:
        yield Loosened("", "baseline samples", then, since, case, label, reason)
    if old.get("outcomes") and old.get("kernels") != new.get("kernels"):
        # Outcomes are held only to others of the same kernels.
        yield Loosened("", "baseline kernels", old.get("kernels"), new.get("kernels"), case, label, reason)
    if old.get("reference") is not None and _worse(old, old["reference"], new.get("reference")):
        # The float model is what relative bounds are held to.
        yield Loosened("", "baseline float figure", old["reference"], new.get("reference"), case, label, reason)
    if _worse(old, old.get("value"), new.get("value")):
        yield Loosened("", "baseline value", old["value"], new["value"], case, label, reason)


def _timed(
    case: str, label: str, before: tuple[str, Body, Body], then: Body, now: Body, fresh: list[Body]
) -> Iterator[Loosened]:
    fingerprint, machine, old = before
    machines = now.get("machines", {})
    new = machines.get(fingerprint, {}).get("labels", {}).get(label)
    if new is None:
        # Superseded: the same machine with other libraries, on which only ratios compare.
        heirs = [
            other["labels"][label]
            for _, other in sorted(machines.items(), key=lambda one: one[0] in then.get("machines", {}))
            if label in other.get("labels", {})
            and same_machine(other["environment"], other["threads"], machine["environment"], machine["threads"])
        ]
        new = next((heir for heir in heirs if heir.get("kernels") == old.get("kernels")), None)
        if new is None:
            reason = _reason(fresh, label, removed=True)
            yield Loosened("", f"baseline value on machine {fingerprint}", old.get("value"), None, case, label, reason)
            return
        if not (old.get("ratio") and new.get("ratio")):
            return
    reason = _reason(fresh, label)
    if old.get("kernels") != new.get("kernels"):
        # With other libraries it is held only to times of the same kernels.
        what = f"baseline kernels on machine {fingerprint}"
        yield Loosened("", what, old.get("kernels"), new.get("kernels"), case, label, reason)
    pace, here = old.get("reference"), new.get("reference")
    if moved(here, pace):
        # Where float has another pace than was accepted, neither the ratio nor the time is held to the baseline.
        yield Loosened("", f"baseline float figure on machine {fingerprint}", pace, here, case, label, reason)
    what, was, since = _enforced(old, new)
    if _worse(old, was, since):
        yield Loosened("", f"baseline {what} on machine {fingerprint}", was, since, case, label, reason)


def _added(case: str, labels: Mapping[str, str], then: Body, now: Body, fresh: list[Body]) -> Iterator[Loosened]:
    """What is held to figures of its own from now on, on a machine of which those for other libraries stay beside them.

    Until now the closest of the others was what its ratio was held to.
    """
    older = {name: one for name, one in then.get("machines", {}).items() if name in now.get("machines", {})}
    for fingerprint, machine in now.get("machines", {}).items():
        own = then.get("machines", {}).get(fingerprint, {}).get("labels", {})
        here = machine["environment"]
        near = sorted(
            (one for one in older.values()
             if same_machine(one["environment"], one["threads"], machine["environment"], machine["threads"])),
            key=lambda one: len(differing(one["environment"], here)),
        )  # fmt: skip
        for was, label in labels.items():
            new = machine["labels"].get(label) if was not in own else None
            held = [one["labels"][was] for one in near if was in one["labels"]]
            old = next((one for one in held if new is not None and one.get("kernels") == new.get("kernels")), None)
            if new is None or old is None or not (old.get("ratio") and new.get("ratio")):
                continue
            what, before, since = _enforced(old, new)
            if _worse(old, before, since):
                what = f"baseline {what} on machine {fingerprint}"
                yield Loosened("", what, before, since, case, label, _reason(fresh, label))


def _enforced(old: Body, new: Body) -> tuple[str, Any, Any]:
    """What a regression is proven against, in words, and both figures: the worse end of an interval, or of readings."""
    better = _better(old)
    if old.get("reach") and new.get("reach"):
        end = 0 if better == "higher" else 1
        return ("least reading", "greatest reading")[end], old["reach"][end], new["reach"][end]
    if not (old.get("ratio") and new.get("ratio")):
        return "value", old.get("value"), new.get("value")
    if better == "higher":
        return "lower end of the ratio", old["ratio"][0], new["ratio"][0]
    return "upper end of the ratio", old["ratio"][2], new["ratio"][2]


def _worse(held: Body, old: Any, new: Any) -> bool:
    """Whether a figure is worse than the one that was accepted, by however little."""
    if old == new or not isinstance(old, (int, float)) or not isinstance(new, (int, float)):
        return bool(old != new)
    if not (math.isfinite(old) and math.isfinite(new)):
        return True
    better = _better(held)
    return better is None or (new > old if better == "lower" else new < old)


def _better(held: Body) -> str | None:
    """Which side of a figure is the better one; None where its metric is not installed."""
    name = held.get("metric")
    return METRICS[name].better if isinstance(name, str) and name in METRICS else None
