"""Accepting what was measured: a case whose budgets all hold becomes its new baseline, or nothing of it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from harness.judge.baseline import Accepted, Baseline, CaseBaseline, Change, Machine


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
) -> Baseline:
    """A baseline with the candidate merged in: labels that were not run keep what they had.

    Args:
        old: the file's content; None where there is none yet.
        spec: whose baseline it is.
        case: which of its cases.
        candidate: what is accepted.
        known: labels that the spec still has; others are dropped.
        reason: why, in the user's words.
        commit: what is checked out.
        cases: cases that the spec still has; others are dropped. None keeps all.
    """
    baseline = old or Baseline(spec=spec)
    before = baseline.cases.get(case, CaseBaseline())
    here = before.machines.get(candidate.fingerprint)
    portable = {**before.portable, **candidate.portable}
    machine = {**(here.labels if here is not None else {}), **candidate.machine}
    moved = {
        label: (_value({**before.portable, **(here.labels if here is not None else {})}, label), new.value)
        for label, new in sorted({**candidate.portable, **candidate.machine}.items())
    }
    machines = {
        fingerprint: held.model_copy(update={"labels": _kept(held.labels, known)})
        for fingerprint, held in before.machines.items()
    }
    if machine:
        machines[candidate.fingerprint] = Machine(
            environment=dict(candidate.environment), threads=candidate.threads, labels=_kept(machine, known)
        )
    case_baseline = CaseBaseline(
        portable=_kept(portable, known),
        machines=machines,
        evidence=dict(candidate.evidence) or before.evidence,
        history=(
            *before.history,
            Change(date=date.today().isoformat(), commit=commit, reason=reason, values=moved),  # noqa: DTZ011 - the reviewer's day
        ),
    )
    kept = {name: entry for name, entry in baseline.cases.items() if cases is None or name in cases}
    return baseline.model_copy(update={"cases": {**kept, case: case_baseline}})


def _kept(labels: Mapping[str, Accepted], known: set[str]) -> dict[str, Accepted]:
    return {label: entry for label, entry in sorted(labels.items()) if label in known}


def _value(labels: Mapping[str, Accepted], label: str) -> float | None:
    return labels[label].value if label in labels else None
