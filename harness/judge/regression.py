"""A measurement against what was accepted before: a proven regression fails even inside the budget."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.judge.baseline import Accepted, asked
from harness.judge.figures import number, ratio_text
from harness.judge.verdict import Finding, State
from harness.measurement import Base, Measurement
from harness.measurement.doubts import because, by_others
from harness.metrics.base import Metric
from harness.spec.expectation import REGRESS

ANEW = 'accept it anew with --update-baselines --reason "…"'

EDITED = "was it edited by hand? Restore it from version control"
# Sums in another order differ by less.
ROUNDING = 1e-6
OTHER_SAMPLES = f"the baseline was taken on other samples, or with other options of `data`: {ANEW}"


def compare(
    metric: Metric, measurement: Measurement, accepted: Accepted, confidence: float, kernels: str, slower: float = 0.0
) -> Finding:
    """Hold a measurement to the accepted one.

    Args:
        metric: the budget.
        measurement: of this run.
        accepted: what the baseline holds.
        confidence: of each one-sided bound.
        kernels: of this run.
        slower: by which share the float model is slower than where the baseline was accepted.

    Returns:
        FAIL where a regression beyond the tolerance is proven, INVALID where the two cannot be compared or the baseline
        contradicts itself, else PASS with a note for the sentence (empty where there is nothing to say).
    """
    if accepted.metric != metric.metric or accepted.metric_version != metric.version:
        return Finding(
            State.INVALID,
            f"the baseline holds {accepted.metric} version {accepted.metric_version}, this is {metric.metric} version "
            f"{metric.version}: {ANEW}",
            bound=REGRESS,
        )
    if otherwise := _otherwise(metric, measurement, accepted):
        return Finding(State.INVALID, otherwise, bound=REGRESS)
    outcomes = accepted.outcomes
    if outcomes is not None and not math.isclose(outcomes.value, accepted.value, rel_tol=ROUNDING, abs_tol=ROUNDING):
        text = f"the baseline says {number(accepted.value)}, and its outcomes come to {number(outcomes.value)}"
        return Finding(State.INVALID, f"{text}: {EDITED}", bound=REGRESS)
    if accepted.reach is not None and not accepted.reach[0] <= accepted.value <= accepted.reach[1]:
        # What is tolerated is a share of the figure, and is added to a reading.
        least, most = (number(reading) for reading in accepted.reach)
        text = f"the baseline says {number(accepted.value)}, and its readings lie between {least} and {most}"
        return Finding(State.INVALID, f"{text}: {EDITED}", bound=REGRESS)
    if outcomes is not None and outcomes.kind == measurement.kind and accepted.kernels != kernels:
        # Other kernels may answer otherwise; that they were asked of other samples is no such difference.
        if measurement.against(outcomes) is None:
            return Finding(State.INVALID, OTHER_SAMPLES, bound=REGRESS)
        return Finding(State.PASS, f"no baseline for the kernel path {kernels} (it was taken on {accepted.kernels})")
    return replace(_compared(metric, measurement, accepted, confidence, slower), bound=REGRESS)


def _otherwise(metric: Metric, measurement: Measurement, accepted: Accepted) -> str:
    """How another question was asked when the baseline was accepted; empty where it was the same, or nobody knows."""
    then, now = accepted.options, asked(metric, measurement)
    if then is None or now is None:
        return ""
    other = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    was, is_now = (
        ", ".join(f"{name} {one[name]}" if name in one else f"the default {name}" for name in other)
        for one in (then, now)
    )
    return f"the baseline was taken with {was}, and this with {is_now}: {ANEW}" if other else ""


def _compared(
    metric: Metric, measurement: Measurement, accepted: Accepted, confidence: float, slower: float
) -> Finding:
    tolerance = metric.tolerated(metric.regress)
    if measurement.kept == "ratio" and accepted.ratio is not None:
        return _by_ratio(metric, measurement, accepted.ratio, tolerance, confidence, slower)
    # What is counted once has no readings that a later count could hide between.
    plain = accepted.outcomes is None and accepted.ratio is None and (accepted.reach is None or measurement.repeated)
    if measurement.kept == "value" and plain:
        return _by_value(metric, measurement, accepted, tolerance)
    if accepted.outcomes is None or accepted.outcomes.kind != measurement.kind:
        return Finding(State.INVALID, f"the baseline holds another kind of measurement: {ANEW}")
    return _paired(metric, measurement, accepted.outcomes, tolerance, confidence)


def _by_value(metric: Metric, now: Base, accepted: Accepted, tolerance: float) -> Finding:
    # Of what is read several times every reading counts, then and now; of a count there is one.
    ours, (least, most) = now.alone(), accepted.reach or (accepted.value, accepted.value)
    allowed, before = tolerance * abs(accepted.value), number(accepted.value)
    if metric.better == "lower":
        limit, gain = most + allowed, ours.upper < least - allowed
        worse, kept = ours.lower > limit, ours.upper <= limit
    else:
        limit, gain = least - allowed, ours.lower > most + allowed
        worse, kept = ours.upper < limit, ours.lower >= limit
    if worse:
        return Finding(State.FAIL, f"worse than the baseline {before} by {_more_than(tolerance)}")
    if not kept:
        text = f"not proven to be within {100 * tolerance:g} % of the baseline {before}"
        return Finding(State.PASS, text, straddles=True)
    return _kept(before, gain)


def _by_ratio(
    metric: Metric,
    now: Base,
    before: tuple[float, float, float],
    tolerance: float,
    confidence: float,
    slower: float,
) -> Finding:
    # Ratio against ratio: the float model of each run has taken the machine's speed out of both.
    ours, (lower, estimate, upper) = now.ratio(confidence), before
    text = f"baseline ratio {ratio_text(estimate)}"
    if metric.better == "lower":
        limit, gain = upper * (1 + tolerance), lower / ours.upper
        worse, kept = ours.lower > limit, ours.upper <= limit
    else:
        limit, gain = lower / (1 + tolerance), ours.lower / upper
        worse, kept = ours.upper < limit, ours.lower >= limit
    if worse:
        doubts = [
            doubt
            for doubt in now.doubts(confidence, slower)
            if doubt.covers(ours.lower, ours.estimate, ours.upper, limit)
        ]
        if doubts:
            held = f"worse than the {text}, but {because(doubts)}"
            doubted = any(doubt.outside for doubt in doubts)
            return Finding(State.INCONCLUSIVE, held, disturbed=by_others(doubts), doubted=doubted)
        return Finding(State.FAIL, f"proven worse than the {text} by {_more_than(tolerance)}")
    if not kept:
        text = f"not proven to be within {100 * tolerance:g} % of the {text}"
        return Finding(State.PASS, text, straddles=True)
    return _kept(f"ratio {ratio_text(estimate)}", gain > 1 + tolerance)


def _paired(metric: Metric, now: Base, before: Base, tolerance: float, confidence: float) -> Finding:
    both = now.against(before)
    if both is None:
        return Finding(State.INVALID, OTHER_SAMPLES)
    change = both.drop(confidence)
    # Where lower is better a rise is the regression.
    drop = change if metric.better == "higher" else -change
    if drop.lower > tolerance:
        by = f"by at least {number(drop.lower)}{f', and {tolerance:g} is tolerated' if tolerance else ''}"
        return Finding(State.FAIL, f"proven worse than the baseline {number(before.value)} ({by})")
    return _kept(number(before.value), drop.upper < -tolerance)


def _more_than(tolerance: float) -> str:
    return f"more than {100 * tolerance:g} %" if tolerance else "anything, and nothing is tolerated"


def _kept(before: str, gain: bool) -> Finding:
    text = f"better than the baseline {before}: --update-baselines tightens it"
    return Finding(State.PASS, text if gain else "", gain=gain)
