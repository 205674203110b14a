"""All verdicts of one case: its budgets, its evidence and its baseline together."""

from __future__ import annotations

import math
from typing import Any

from harness.judge.bounds import head, judge
from harness.judge.contradiction import breach_of, contradicted, unseen
from harness.judge.expected import expectations
from harness.judge.family import broken, proof
from harness.judge.history import history
from harness.judge.match import Setting, held
from harness.judge.place import place_of
from harness.judge.standing import Standing
from harness.judge.verdict import BASELINE, Finding, State, Verdict, by_bound, not_kept, overall
from harness.measurement import Measurement
from harness.metrics.base import Metric
from harness.run.result import Result
from harness.spec.bounds import harmful
from harness.spec.expectation import EVIDENCE
from harness.spec.schema import Spec


def verdict(spec: Spec, result: Result, label: str, standing: Standing) -> Verdict:
    """Judge one label of a case: a budget, or the evidence.

    Args:
        spec: the case.
        result: what was measured.
        label: a key of `budgets:`, or ``evidence``.
        standing: the baseline and this machine.
    """
    if label == EVIDENCE:
        return _evidence(result)
    metric, measurement = spec.budgets[label], result.measurements.get(label)
    blank = Verdict(
        spec=result.spec, case=result.case, label=label, metric=metric.metric, verdict=State.INVALID, unit=metric.unit,
        bound=metric.bounds(), sentence="",
    )  # fmt: skip
    gone = _gone(result, label)
    if gone is None and measurement is None:
        gone = Finding(State.INVALID, "was not measured: the worker left no figure for it")
    if gone is not None or measurement is None:
        assert gone is not None
        return blank.model_copy(update=_told(label, [gone]))
    near = None
    if metric.machine and not standing.updating:
        here = Setting(result.environment, spec.measure.threads, result.kernels)
        near = held(standing.baseline, label, standing.fingerprint, here)
    place, confidence = place_of(metric, measurement, near, result.float_model), spec.measure.confidence
    findings = judge(metric, measurement, confidence, place)
    if broken(metric, findings):
        findings = judge(metric, measurement, confidence, place, proof(spec.budgets, result.measurements, confidence))
    breach = breach_of(measurement)
    findings = leading(metric, contradicted(findings, breach))
    budget = decided(metric, findings)
    # What the baseline has to say comes last.
    findings += contradicted(history(spec, result, label, standing, budget, near, place.slower), breach)
    tolerated = bool(expectations(spec, label))
    if tolerated or budget in (State.PASS, State.NOT_RUN):
        findings += unseen(findings, breach)
    match = near.match if near is not None else None
    return row_of(blank.model_copy(update={"match": match}), metric, measurement, findings, tolerated=tolerated)


def decided(metric: Metric, findings: list[Finding]) -> State:
    """The verdict of all findings on a budget; what holds no bound on the model's worse side proves nothing."""
    state = overall(findings)
    if state is not State.PASS or all(finding.state is State.PASS for finding in findings):
        return state
    held = {finding.bound for finding in findings if finding.state is State.PASS}
    return state if held & set(harmful(metric.better)) else State.NOT_RUN


def leading(metric: Metric, findings: list[Finding]) -> list[Finding]:
    """The findings in the order of a sentence: what decided leads, so that the row's interval is its own."""
    state = decided(metric, findings)
    return sorted(findings, key=lambda finding: finding.state is not state)


def row_of(
    blank: Verdict, metric: Metric, measurement: Measurement, findings: list[Finding], *, tolerated: bool = False
) -> Verdict:
    """A row with what was found: its verdict, its figures and its sentence.

    Args:
        blank: a row that names spec, label and bounds.
        metric: the budget.
        measurement: raw values of both sides.
        findings: of every bound, in the order in which the sentence gives them.
        tolerated: whether the spec expects a failure of this budget, so that a FAIL alone does not decide.
    """
    state, found = decided(metric, findings), by_bound(findings)
    kept_back = [finding for finding in findings if finding.state is State.INCONCLUSIVE]
    undecided = bool(kept_back) and (state is State.INCONCLUSIVE or (tolerated and state is State.FAIL))
    clauses = "; ".join(finding.text for finding in findings if finding.text)
    interval = next((finding.interval for finding in findings if finding.interval is not None), None)
    # Of no sample there is no mean, and no sentence that opens with one.
    empty = measurement.n == 0
    opening = "" if empty else head(metric, measurement)
    return blank.model_copy(
        update={
            "verdict": state,
            "value": None if empty else _finite(measurement.value),
            "reference": None if empty else _finite(measurement.reference),
            "found": found,
            "broken": not_kept(findings),
            "interval": interval,
            "n": measurement.n,
            "details": {name: figure for name, figure in measurement.details.items() if math.isfinite(figure)},
            "unaccepted": found.get(BASELINE) is State.FAIL,
            "improved": state is State.PASS and any(finding.gain for finding in findings),
            # What its own noise leaves open is not tried again for the sake of another bound.
            "disturbed": undecided and all(finding.disturbed for finding in kept_back),
            "doubted": state is State.INCONCLUSIVE and any(finding.doubted for finding in findings),
            "straddles": state is State.PASS and any(finding.straddles for finding in findings),
            "sentence": f"{blank.label}: {', '.join(filter(None, (opening, clauses)))} → {state}",
        }
    )


def _finite(figure: float | None) -> float | None:
    """A figure for the report, which is strict JSON; the sentence says what was measured instead."""
    return figure if figure is not None and math.isfinite(figure) else None


def _told(label: str, findings: list[Finding]) -> dict[str, Any]:
    """What a row without figures says: the findings, each a clause of its sentence."""
    state = overall(findings)
    return {
        "verdict": state,
        "found": by_bound(findings),
        "broken": not_kept(findings),
        "sentence": f"{label}: {'; '.join(finding.text for finding in findings)} → {state}",
    }


def _evidence(result: Result) -> Verdict:
    gone = _gone(result, EVIDENCE)
    if gone is not None:
        findings = [gone]
    elif result.compressed is None:
        findings = [Finding(State.INVALID, "nothing was counted on the artifact")]
    elif result.contradictions:
        # Each a finding of its own: who expects the one has not foreseen the other.
        findings = [Finding(State.INVALID, sentence) for sentence in result.contradictions]
    else:
        known = result.reference.notes if result.reference is not None else ()
        findings = [Finding(State.PASS, "; ".join((result.compressed.summary(), *known)))]
    return Verdict(spec=result.spec, case=result.case, label=EVIDENCE, metric=EVIDENCE, **_told(EVIDENCE, findings))


def _gone(result: Result, label: str) -> Finding | None:
    """Why there is nothing to judge."""
    if result.not_here is not None:
        return Finding(State.NOT_RUN, result.not_here)
    failure = result.failure or result.failures.get(label)
    return Finding(State.INVALID, failure.sentence) if failure is not None else None
