"""A measurement against what was accepted before: a proven regression fails even inside the budget."""

from __future__ import annotations

from harness.judge.baseline import Accepted
from harness.judge.verdict import Finding, State, number, ratio_text
from harness.measurement import Base, Exact, Measurement, Timings
from harness.metrics.base import Metric


def compare(metric: Metric, measurement: Measurement, accepted: Accepted, confidence: float, kernels: str) -> Finding:
    """Hold a measurement to the accepted one.

    Returns:
        FAIL where a regression beyond the tolerance is proven, INVALID where the two cannot be compared, else PASS with
        a note for the sentence (empty where there is nothing to say).
    """
    if accepted.metric != metric.metric or accepted.metric_version != metric.version:
        return Finding(
            State.INVALID,
            f"the baseline holds {accepted.metric} version {accepted.metric_version}, this is {metric.metric} version "
            f"{metric.version}: accept it anew with --update-baselines",
        )
    tolerance = metric.tolerance if metric.regress is None else metric.regress
    if isinstance(measurement, Timings) and accepted.ratio is not None:
        return _timed(metric, measurement, accepted.ratio, tolerance, confidence)
    if accepted.outcomes is not None:
        if accepted.kernels != kernels:
            return Finding(State.PASS, f"no baseline for the kernel path {kernels}")
        return _paired(metric, measurement, accepted.outcomes, tolerance, confidence)
    if isinstance(measurement, Exact):
        return _counted(metric, measurement, accepted.value, tolerance)
    return Finding(
        State.INVALID, "the baseline holds another kind of measurement: accept it anew with --update-baselines"
    )


def _counted(metric: Metric, now: Exact, before: float, tolerance: float) -> Finding:
    worse = now.value - before if metric.better == "lower" else before - now.value
    allowed = tolerance * abs(before)
    text = f"baseline {number(before)}"
    if worse > allowed:
        return Finding(State.FAIL, f"{text}, which is worse by more than {tolerance:.1%}")
    return Finding(State.PASS, f"better than the {text}: --update-baselines tightens it" if -worse > allowed else "")


def _timed(
    metric: Metric, now: Timings, before: tuple[float, float, float], tolerance: float, confidence: float
) -> Finding:
    # Ratio against ratio: the float model of each run has taken the machine's speed out of both.
    ours, (lower, estimate, upper) = now.ratio(confidence), before
    text = f"baseline ratio {ratio_text(estimate)}"
    if metric.better == "lower":
        worse = ours.lower > upper * (1 + tolerance)
        better = ours.upper < lower * (1 - tolerance)
    else:
        worse = ours.upper < lower * (1 - tolerance)
        better = ours.lower > upper * (1 + tolerance)
    if worse:
        return Finding(State.FAIL, f"{text}, which is worse by more than {tolerance:.0%}")
    return Finding(State.PASS, f"better than the {text}: --update-baselines tightens it" if better else "")


def _paired(metric: Metric, now: Base, before: Base, tolerance: float, confidence: float) -> Finding:
    both = now.against(before)
    if both is None:
        return Finding(State.INVALID, "the baseline was taken on other samples: accept it anew with --update-baselines")
    change = both.drop(confidence)
    # Where lower is better a rise is the regression.
    drop = change if metric.better == "higher" else -change
    text = f"baseline {number(before.value)}"
    if drop.lower > tolerance:
        return Finding(State.FAIL, f"{text}, proven worse (by at least {number(drop.lower)})")
    return Finding(
        State.PASS, f"proven better than the {text}: --update-baselines tightens it" if drop.upper < -tolerance else ""
    )
