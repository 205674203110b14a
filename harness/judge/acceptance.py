"""Accepting what was measured: a case whose budgets all hold becomes its new baseline, or nothing of it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from harness.judge.baseline import Accepted, Baseline, CaseBaseline, Change, Machine
from harness.judge.match import same_machine
from harness.judge.place import moved
from harness.metrics.base import METRICS

# So many sections of one machine are kept: a matrix of library versions fits in, every upgrade of the past does not.
SECTIONS = 3
# A time that is known this much more finely than the accepted one replaces it, even where both agree.
FINER = 0.5


@dataclass(frozen=True)
class Candidate:
    """What one case offers for acceptance.

    Attributes:
        portable, machine: label → measurement, by where it is kept.
        fingerprint: of this machine, threads and kernels.
        environment: for the reader of the file.
        threads: that the worker used.
        evidence: counts on the compressed artifact, for the reviewer.
    """

    portable: Mapping[str, Accepted]
    machine: Mapping[str, Accepted]
    fingerprint: str
    environment: Mapping[str, Any]
    threads: int
    evidence: Mapping[str, Any]


def accepted(
    old: Baseline | None,
    spec: str,
    case: str,
    candidate: Candidate,
    known: set[str],
    reason: str,
    commit: str,
    cases: set[str] | None = None,
    *,
    today: date,
) -> Baseline:
    """A baseline with the candidate merged in: labels that were not run, or are the same, keep what they had.

    A count or an outcome is the same where nothing of it changed; a time, where both intervals overlap and the float
    model is as fast as it was; other figures of a machine, within their metric's tolerance, and of readings where the
    one that a regression is held to is no nearer by more than that. What only noise moved is not written, so that
    repeated updates neither pile up history nor creep away from what was once looked at.

    Args:
        old: the file's content; None where there is none yet.
        spec: whose baseline it is.
        case: which of its cases.
        candidate: what is accepted.
        known: labels that the spec still has; others are dropped.
        reason: why, in the user's words.
        commit: what is checked out.
        cases: cases that the spec still has; others are dropped. None keeps all.
        today: the day of acceptance, UTC, as an `expect_fail` counts its days.
    """
    baseline = old or Baseline(spec=spec)
    before = baseline.cases.get(case, CaseBaseline())
    here = before.machines.get(candidate.fingerprint)
    held = here.labels if here is not None else {}
    fresh = {label: new for label, new in candidate.portable.items() if not _same(before.portable.get(label), new)}
    timed = {label: new for label, new in candidate.machine.items() if not _same(held.get(label), new, machine=True)}
    portable, machine = {**before.portable, **fresh}, {**held, **timed}
    changes = {
        label: (_value({**before.portable, **held}, label), new.value)
        for label, new in sorted({**fresh, **timed}.items())
    }
    day = today.isoformat()
    machines = {
        fingerprint: held.model_copy(update={"labels": _kept(held.labels, known)})
        for fingerprint, held in before.machines.items()
    }
    if timed:
        machines[candidate.fingerprint] = Machine(
            environment=dict(candidate.environment),
            threads=candidate.threads,
            accepted=day,
            labels=_kept(machine, known),
        )
    change = Change(date=day, commit=commit, reason=reason, values=changes)
    case_baseline = CaseBaseline(
        portable=_kept(portable, known),
        machines=_newest(machines, candidate),
        evidence=dict(candidate.evidence) or before.evidence,
        history=(*before.history, change) if changes else before.history,
    )
    kept = {name: entry for name, entry in baseline.cases.items() if cases is None or name in cases}
    return baseline.model_copy(update={"cases": {**kept, case: case_baseline}})


def _kept(labels: Mapping[str, Accepted], known: set[str]) -> dict[str, Accepted]:
    return {label: entry for label, entry in sorted(labels.items()) if label in known}


def _same(old: Accepted | None, new: Accepted, *, machine: bool = False) -> bool:
    """Whether a figure is the one that was accepted, or differs from it by noise alone."""
    if old is None:
        return False
    # What was not kept then is no change of the figure now.
    unknown = {name: None for name in ("options", "float_model") if getattr(old, name) is None}
    new = new.model_copy(update=unknown)
    if old.model_dump(mode="json") == new.model_dump(mode="json"):
        return True
    before, now = ((one.metric, one.metric_version, one.kernels, one.options, one.float_model) for one in (old, new))
    if before != now:
        return False
    if old.ratio is not None and new.ratio is not None:
        (low, _, high), (lower, _, upper) = old.ratio, new.ratio
        overlap = lower <= high and low <= upper
        return overlap and not moved(new.reference, old.reference) and upper - lower >= FINER * (high - low)
    if machine and old.metric in METRICS:
        room = METRICS[old.metric].tolerance * abs(old.value)
        return abs(new.value - old.value) <= room and not _nearer(old, new, room)
    return False


def _nearer(old: Accepted, new: Accepted, room: float) -> bool:
    """Whether the reading that a regression is held to was out by more than this: kept, it would hide one for good."""
    if old.reach is None or new.reach is None:
        return False
    (least, most), (lesser, greatest) = old.reach, new.reach
    return (most - greatest if METRICS[old.metric].better == "lower" else lesser - least) > room


def _newest(machines: Mapping[str, Machine], candidate: Candidate) -> dict[str, Machine]:
    """Without empty sections, and of this machine without all but the newest: its libraries are never those again."""
    full = {fingerprint: held for fingerprint, held in machines.items() if held.labels}
    ours = [
        fingerprint
        for fingerprint, held in full.items()
        if same_machine(held.environment, held.threads, candidate.environment, candidate.threads)
    ]
    ours.sort(key=lambda one: (one == candidate.fingerprint, full[one].accepted), reverse=True)
    return {fingerprint: held for fingerprint, held in full.items() if fingerprint not in ours[SECTIONS:]}


def _value(labels: Mapping[str, Accepted], label: str) -> float | None:
    return labels[label].value if label in labels else None
