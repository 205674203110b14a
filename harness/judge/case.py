"""All verdicts of one case: its budgets, its evidence and its baseline together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.judge.baseline import Accepted, CaseBaseline
from harness.judge.bounds import head, judge
from harness.judge.figures import number
from harness.judge.regression import compare
from harness.judge.verdict import Finding, Place, State, Verdict, overall
from harness.measurement import Measurement
from harness.metrics.base import Metric
from harness.run.result import Result
from harness.spec.schema import Spec

EVIDENCE = "evidence"
# Absolute figures of one machine hold as long as its float model is this near to where it was.
FLOAT_DRIFT = 0.15
HOW_TO_ACCEPT = '--update-baselines --reason "…"'


@dataclass(frozen=True)
class Standing:
    """What is known from before when a case is judged.

    Attributes:
        baseline: what was accepted for this case; None where nothing was.
        fingerprint: this machine's, with the threads and kernels of this run.
        updating: a new baseline is being accepted: only the budgets count.
        problem: why the baseline file cannot be read; empty where it can.
    """

    baseline: CaseBaseline | None
    fingerprint: str
    updating: bool = False
    problem: str = ""

    def accepted(self, metric: Metric, label: str) -> Accepted | None:
        """What was accepted for a budget, on this machine where the metric belongs to one."""
        if self.baseline is None:
            return None
        if not metric.machine:
            return self.baseline.portable.get(label)
        machine = self.baseline.machines.get(self.fingerprint)
        return machine.labels.get(label) if machine is not None else None


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
        return blank.model_copy(update={"verdict": gone.state, "sentence": f"{label}: {gone.text} → {gone.state}"})
    findings = judge(metric, measurement, spec.measure.confidence, _place(metric, measurement, label, standing))
    # The bound that decided leads; what the baseline has to say comes last.
    budget = overall(findings)
    findings.sort(key=lambda finding: finding.state is not budget)
    findings += _history(metric, label, result, spec, standing, budget)
    state = overall(findings)
    clauses = "; ".join(finding.text for finding in findings if finding.text)
    interval = next((finding.interval for finding in findings if finding.interval is not None), None)
    return blank.model_copy(
        update={
            "verdict": state,
            "value": _finite(measurement.value),
            "reference": _finite(measurement.reference),
            "interval": interval,
            "n": measurement.n,
            "details": measurement.details,
            "sentence": f"{label}: {', '.join(filter(None, (head(metric, measurement), clauses)))} → {state}",
        }
    )


def _finite(figure: float | None) -> float | None:
    """A figure for the report, which is strict JSON; the sentence says what was measured instead."""
    return figure if figure is not None and math.isfinite(figure) else None


def _evidence(result: Result) -> Verdict:
    gone = _gone(result, EVIDENCE)
    if gone is not None:
        state, text = gone.state, gone.text
    elif result.compressed is None:
        state, text = State.INVALID, "nothing was counted on the artifact"
    elif result.contradictions:
        state, text = State.INVALID, "; ".join(result.contradictions)
    else:
        state, text = State.PASS, result.compressed.summary()
    return Verdict(
        spec=result.spec, case=result.case, label=EVIDENCE, metric=EVIDENCE, verdict=state,
        sentence=f"{EVIDENCE}: {text} → {state}",
    )  # fmt: skip


def _gone(result: Result, label: str) -> Finding | None:
    """Why there is nothing to judge."""
    if result.not_here is not None:
        return Finding(State.NOT_RUN, result.not_here)
    failure = result.failure or result.failures.get(label)
    return Finding(State.INVALID, failure.sentence) if failure is not None else None


def _place(metric: Metric, measurement: Measurement, label: str, standing: Standing) -> Place:
    if not metric.machine or standing.updating:
        return Place()
    accepted = standing.accepted(metric, label)
    if accepted is None:
        return Place(False, f"no baseline was accepted on this machine; accept one with {HOW_TO_ACCEPT}")
    here, then = measurement.reference, accepted.reference
    # A machine that runs the float model at another speed than it did is another machine, whatever its name.
    if here is not None and then is not None and abs(here - then) > FLOAT_DRIFT * abs(then):
        figures = f"{number(here)} {metric.unit} here, and {number(then)} where the baseline was accepted"
        return Place(False, f"the float model has {figures}")
    return Place()


def _history(metric: Metric, label: str, result: Result, spec: Spec, standing: Standing, state: State) -> list[Finding]:
    """What the baseline has to say, where the budget itself is kept."""
    if standing.updating or state not in (State.PASS, State.NOT_RUN):
        return []
    if standing.problem:
        return [Finding(State.INVALID, standing.problem)]
    accepted = standing.accepted(metric, label)
    if accepted is not None:
        return [compare(metric, result.measurements[label], accepted, spec.measure.confidence, result.kernels)]
    if metric.machine:
        # What was not enforced here has said so already, and does not turn green by it.
        return [Finding(State.PASS, "no baseline here")] if state is State.PASS else []
    return [
        Finding(State.FAIL, f"within budget, but no baseline is stored: look at it and accept it with {HOW_TO_ACCEPT}")
    ]
