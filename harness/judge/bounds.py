"""A measurement against its budget: what each bound finds, and the clause that explains it.

PASS only where every bound is kept, FAIL only where a breach is proven (or, for a count, is a fact). Nothing is
rounded before it is compared; sentences are.
"""

from __future__ import annotations

import math
from dataclasses import replace

from harness.judge.claim import Claim
from harness.judge.figures import apart, measured_text, number, percent, ratio_text
from harness.judge.settling import settling
from harness.judge.verdict import Finding, Place, Range, State
from harness.measurement import Measurement
from harness.measurement.doubts import Doubt, because, by_others
from harness.metrics.base import SHARE, Metric, Span

# No compression makes a sound model so many times faster.
SPEED_GAIN = 100.0


def breached(metric: Metric, measurement: Measurement, name: str, confidence: float) -> bool:
    """Whether the measurement alone proves at this confidence that a bound is broken."""
    claim = Claim(metric, name, metric.bounds()[name], measurement, confidence, Place(), confidence)
    try:
        held = claim.contrast(confidence)
    except ValueError:
        # Of nothing can be claimed that it is broken.
        return False
    return claim.decide(held.lower, held.upper) is State.FAIL


def judge(
    metric: Metric, measurement: Measurement, confidence: float, place: Place | None = None, proof: float | None = None
) -> list[Finding]:
    """Check every bound of one budget.

    Args:
        metric: the budget.
        measurement: raw values of both sides.
        confidence: of each one-sided bound.
        place: what is known of this machine.
        proof: at which confidence a breach is proven, where other budgets are judged with this one (`family`); as any
            other bound otherwise.
    """
    place, proof = place or Place(), proof or confidence
    if measurement.n == 0:
        return [Finding(State.INVALID, "nothing was measured: there is no sample")]
    value, reference = measurement.value, measurement.reference
    if not math.isfinite(value) or (reference is not None and not math.isfinite(reference)):
        return [Finding(State.INVALID, f"measured {value} against float {reference}: not a number that means anything")]
    checks = {
        "reference_min": _reference, "reference_max": _reference, "min": _absolute, "max": _absolute,
        "min_ratio": _ratio, "max_ratio": _ratio, "max_drop": _difference, "max_rise": _difference,
    }  # fmt: skip
    bounds = metric.bounds()
    try:
        implausible = _implausible(metric, measurement, confidence)
        return implausible + [
            replace(check(Claim(metric, name, bounds[name], measurement, confidence, place, proof)), bound=name)
            for name, check in checks.items()
            if name in bounds
        ]
    except ValueError as error:
        # What no interval can be made of: times of a clock that stood still, scores that are no numbers.
        return [Finding(State.INVALID, f"nothing can be claimed from what was measured: {error}")]


def _implausible(metric: Metric, measured: Measurement, confidence: float) -> list[Finding]:
    """A gain that points to a broken float model rather than to a good compression."""
    reference = measured.reference
    if reference is None:
        return []
    better = measured.value - reference if metric.better == "higher" else reference - measured.value
    if (most := measured.plausible) is not None and better > most:
        drop = measured.drop(confidence)
        if (drop.upper if metric.better == "higher" else -drop.lower) < -most:
            text = f"proven better than its float model by more than {number(most)}"
            return [Finding(State.INVALID, f"{text}: was the float model loaded, and fed, as it was trained?")]
    if measured.timed and better > 0 and min(measured.value, reference) > 0:
        times = max(measured.value, reference) / min(measured.value, reference)
        if times > SPEED_GAIN:
            return [
                Finding(State.INVALID, f"{times:,.0f} × as fast as its float model: does the artifact do its work?")
            ]
    return []


def head(metric: Metric, measurement: Measurement) -> str:
    """The start of every sentence: the figure and the float model's."""
    text = measured_text if measurement.timed else number
    # A metric that compares with the float model has nothing to say of the float model itself.
    if metric.relative or measurement.reference is None:
        return text(measurement.value)
    return f"{text(measurement.value)} vs float {text(measurement.reference)}"


def _reference(claim: Claim) -> Finding:
    name, limit, reference = claim.name, claim.limit, claim.measured.reference
    if elsewhere := _elsewhere(claim):
        return elsewhere
    if reference is None:
        return Finding(State.INVALID, f"no float figure to hold to {name} {number(limit)}")
    held = claim.measured.alone(reference=True)
    state = claim.decide(held.lower, held.upper)
    if state is State.PASS:
        return Finding(State.PASS, "")
    itself = f"the float model itself has {claim.metric.metric}"
    if state is State.INCONCLUSIVE:
        text = f"{itself} {number(held.lower)} to {number(held.upper)}, {name} {number(limit)}"
        return Finding(state, text + settling(claim.measured, held, limit))
    return Finding(
        State.INVALID,
        f"{itself} {number(reference)}, {'below' if claim.floor else 'above'} {name} {number(limit)}"
        f"{apart(reference, limit)}: two bad models show no drop",
    )


def _elsewhere(claim: Claim) -> Finding | None:
    """What there is to say of an absolute figure of another machine, such as milliseconds; None of any other."""
    if not claim.metric.machine or claim.place.absolute:
        return None
    unit = f" {claim.metric.unit}" if claim.metric.unit else ""
    text = f"{claim.name} {number(claim.limit)}{unit} is not enforced here ({claim.place.why_not})"
    return Finding(State.NOT_RUN, text)


def _absolute(claim: Claim) -> Finding:
    metric, measured, name, limit = claim.metric, claim.measured, claim.name, claim.limit
    if elsewhere := _elsewhere(claim):
        return elsewhere
    if metric.relative or measured.timed:
        return _proven(claim)
    held = measured.alone()
    state, text = claim.decide(held.lower, held.upper), f"{name} {number(limit)}"
    if claim.place.match is not None:
        text += f" ({claim.place.match} match)"
    if state is State.FAIL:
        nearest = held.upper if claim.floor else held.lower
        text = f"{'below' if claim.floor else 'above'} {text}{apart(nearest, limit)}"
    if not measured.repeated:
        return Finding(state, text)
    note = settling(measured, held, limit) if state is State.INCONCLUSIVE else ""
    text = f"readings {number(held.lower)} to {number(held.upper)}, {text}{note}"
    return Finding(state, text, Range.over("value", held))


def _kept_back(doubts: list[Doubt], state: State, text: str, interval: Range | None = None) -> Finding:
    # To take its own noise again until it comes out one way would spend error unseen.
    disturbed = by_others(doubts) and state is not State.INCONCLUSIVE
    doubted = any(doubt.outside for doubt in doubts)
    return Finding(State.INCONCLUSIVE, f"{text} ({because(doubts)})", interval, disturbed=disturbed, doubted=doubted)


def _proven(claim: Claim) -> Finding:
    """A figure held to `min` or `max` by its interval.

    Agreement, divergence: a contrast with the float model, whose own figure is known. A time or a rate: its ratio to
    the float model's, whose median of this run is taken to be known.
    """
    held = claim.contrast(claim.confidence)
    state = claim.decide(held.lower, held.upper)
    # The side that proves the verdict; an undecided one is shown from the side that had to be proven.
    lower = claim.floor is (state is not State.FAIL)
    edge = held.lower if lower else held.upper
    text = f"{percent(claim.confidence)} {'lower' if lower else 'upper'} bound {number(edge)}"
    text += f" over {claim.measured.extent}, {claim.name} {number(claim.limit)}{apart(edge, claim.limit)}"
    if claim.place.match is not None:
        text += f" ({claim.place.match} match)"
    if kept := claim.withheld(held.lower, held.estimate, held.upper, claim.limit, state):
        return _kept_back(kept, state, text, Range.over("value", held))
    if state is State.INCONCLUSIVE:
        text += settling(claim.measured, held, claim.limit)
    doubt = claim.doubt() if state is State.FAIL else ""
    return Finding(State.INCONCLUSIVE if doubt else state, text + doubt, Range.over("value", held))


def _ratio(claim: Claim) -> Finding:
    measured, limit = claim.measured, claim.limit
    interval = claim.contrast(claim.confidence)
    if not math.isfinite(interval.estimate):
        return Finding(State.INVALID, f"the float figure is {measured.reference}: a ratio to it means nothing")
    lower, upper = interval.lower, interval.upper
    text = f"ratio {ratio_text(interval.estimate)}"
    if not measured.exact:
        text += f" [{ratio_text(lower)}, {ratio_text(upper)}]"
    state = claim.decide(lower, upper)
    held = claim.withheld(lower, interval.estimate, upper, limit, state)
    edge = lower if claim.floor is (state is not State.FAIL) else upper
    text += f", {claim.name if claim.floor else 'limit'} {ratio_text(limit)}{apart(edge, limit, ratio_text)}"
    over = Range.over("ratio", interval)
    if held:
        return _kept_back(held, state, text, over)
    note = ""
    if state is State.INCONCLUSIVE:
        note = settling(measured, interval, limit)
    elif state is State.FAIL and (note := claim.doubt()):
        state = State.INCONCLUSIVE
    return Finding(state, text + note, over)


def _difference(claim: Claim) -> Finding:
    if elsewhere := _elsewhere(claim):
        return elsewhere
    measured, limit = claim.measured, claim.limit
    what = claim.name.removeprefix("max_")
    change = claim.contrast(claim.confidence)
    if limit >= (room := _room(claim.metric, measured, what)):
        share = limit >= 1 and _span(claim.metric, measured) == SHARE
        percentage = f": a limit is a share, and {number(limit)} % is {limit / 100:g}" if share else ""
        return Finding(State.INVALID, f"no model can {what} by more than {number(room)} from there{percentage}")
    state, held = claim.decide(change.lower, change.upper), list[Doubt]()
    if measured.timed and measured.reference:
        # As a ratio to float, which is what load biases.
        ratio, turned = measured.ratio(claim.confidence), limit / measured.reference
        at = 1 - turned if what == "drop" else 1 + turned
        held = claim.withheld(ratio.lower, ratio.estimate, ratio.upper, at, state)
    text, edge = f"{what} {number(change.estimate)}", change.lower if state is State.FAIL else change.upper
    if measured.repeated:
        text += f" [{number(change.lower)}, {number(change.upper)}]"
    elif not measured.exact:
        side = "lower" if state is State.FAIL else "upper"
        counts = measured.tally(higher_is_better=claim.metric.better == "higher")
        text += f" ({counts}; {percent(claim.confidence)} {side} bound {number(edge)})"
    text += f", limit {number(limit)}{apart(edge, limit)}"
    over = Range.over("drop", change if what == "drop" else -change)
    if held:
        return _kept_back(held, state, text, over)
    note = ""
    if state is State.INCONCLUSIVE:
        note = settling(measured, change, limit, drop=True)
    elif state is State.FAIL and (note := claim.doubt(drop=True)):
        state = State.INCONCLUSIVE
    return Finding(state, text + note, over)


def _span(metric: Metric, measured: Measurement) -> Span:
    """Between which figures every value lies; of outcomes from outside only the measurement knows."""
    return metric.span or (SHARE if measured.share else (-math.inf, math.inf))


def _room(metric: Metric, measured: Measurement, what: str) -> float:
    """How far the float model's figure can still drop or rise; infinite where nothing ends it."""
    (low, high), at = _span(metric, measured), measured.reference or 0.0
    return at - low if what == "drop" else high - at
