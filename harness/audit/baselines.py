"""Two states of a baseline: which accepted figures became worse, and the reason that its history gives for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.audit.finding import Loosened
from harness.judge.match import same_machine
from harness.metrics.base import METRICS

Body = Mapping[str, Any]


def loosened(old: Body, new: Body, labels: Mapping[str, Collection[str]]) -> Iterator[Loosened]:
    """Everything that a baseline asks less of than it did.

    Args:
        old: what the file held.
        new: what it holds.
        labels: the budgets that each case of the spec has now; what the spec lost is its own loosening.
    """
    for name, case in old.get("cases", {}).items():
        if name not in labels:
            continue
        now = new.get("cases", {}).get(name, {})
        fresh = _fresh(case, now)
        if not now:
            yield Loosened("", "baseline", "accepted", None, name)
            continue
        for label, held in case.get("portable", {}).items():
            if label in labels[name]:
                yield from _figure(name, label, held, now.get("portable", {}).get(label), fresh)
        for fingerprint, machine in case.get("machines", {}).items():
            for label, held in machine.get("labels", {}).items():
                if label in labels[name]:
                    yield from _timed(name, label, (fingerprint, machine, held), now, fresh)


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
    if old.get("reference") is not None and _worse(old, old["reference"], new.get("reference")):
        # The float model is what relative bounds are held to.
        yield Loosened("", "baseline float figure", old["reference"], new.get("reference"), case, label, reason)
    if _worse(old, old.get("value"), new.get("value")):
        yield Loosened("", "baseline value", old["value"], new["value"], case, label, reason)


def _timed(case: str, label: str, before: tuple[str, Body, Body], now: Body, fresh: list[Body]) -> Iterator[Loosened]:
    fingerprint, machine, old = before
    machines = now.get("machines", {})
    new = machines.get(fingerprint, {}).get("labels", {}).get(label)
    if new is None:
        # Superseded: the same machine with other libraries, on which only ratios compare.
        heirs = [
            other["labels"][label]
            for other in machines.values()
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
    if old.get("ratio") and new.get("ratio"):
        what, was, now_ = "ratio", old["ratio"][1], new["ratio"][1]
    else:
        what, was, now_ = "value", old.get("value"), new.get("value")
    if _worse(old, was, now_):
        reason = _reason(fresh, label)
        yield Loosened("", f"baseline {what} on machine {fingerprint}", was, now_, case, label, reason)


def _worse(held: Body, old: Any, new: Any) -> bool:
    """Whether a figure is worse than the one that was accepted, by however little."""
    name = held.get("metric")
    if old == new or not isinstance(old, (int, float)) or not isinstance(new, (int, float)):
        return bool(old != new)
    if name not in set(METRICS):
        return True
    return new > old if METRICS[name].better == "lower" else new < old
