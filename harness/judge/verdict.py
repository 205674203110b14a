"""A measurement against its budget: the verdict, and the sentence that explains it.

PASS only where every bound is kept, FAIL only where a breach is proven (or, for a count, is a fact). Nothing is
rounded before it is compared; sentences are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from harness.measurement import Measurement, Pairs, Timings
from harness.metrics.base import Metric
from harness.statistics import Interval

# Load from outside biases a ratio (int8 ÷ float of ResNet-18: 0.322 idle, 0.275 beside a training run). Above the
# first share of stolen time, a ratio counts as uncertain by the second, so a verdict that it could turn is withheld.
LOAD_NOTICED = 0.05
LOAD_BIAS = 0.15


class State(StrEnum):
    """The five verdicts, worst first. Only PASS is green."""

    FAIL = "FAIL"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_RUN = "NOT RUN"
    PASS = "PASS"


class Range(BaseModel):
    """An interval as a report shows it; `of` names the contrast: value, ratio or drop."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: str
    estimate: float
    lower: float
    upper: float
    confidence: float = Field(description="of each bound alone, one-sided")
    method: str


class Verdict(BaseModel):
    """One row of the report: one budget of one case, judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)
    spec: str = Field(description="path below specs/ without suffix")
    case: str = Field(default="", description="name of the case; empty where the file has none")
    label: str
    metric: str
    verdict: State
    value: float | None = Field(default=None, description="the compressed model's figure")
    reference: float | None = Field(default=None, description="the float model's figure")
    unit: str = ""
    bound: dict[str, float] = Field(default_factory=dict, description="the budget's bounds, by name")
    interval: Range | None = Field(default=None, description="of the contrast that decided")
    n: int | None = Field(default=None, description="sampling units behind the figures")
    sentence: str
    details: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One bound, checked."""

    state: State
    text: str
    interval: Range | None = None


@dataclass(frozen=True)
class Place:
    """What the judge knows of the machine: whether absolute figures of this machine mean anything here.

    Attributes:
        absolute: the baseline was accepted on a machine like this one, or is being accepted now.
        why_not: a clause for the sentence where `absolute` is False.
    """

    absolute: bool = True
    why_not: str = ""


def judge(metric: Metric, measurement: Measurement, confidence: float, place: Place | None = None) -> list[Finding]:
    """Check every bound of one budget.

    Args:
        metric: the budget.
        measurement: raw values of both sides.
        confidence: of each one-sided bound.
        place: what is known of this machine.
    """
    place = place or Place()
    value, reference = measurement.value, measurement.reference
    if not math.isfinite(value) or (reference is not None and not math.isfinite(reference)):
        return [Finding(State.INVALID, f"measured {value} against float {reference}: not a number that means anything")]
    findings = [
        _reference(metric, name, limit, reference)
        for name, limit in metric.bounds().items()
        if name.startswith("reference_")
    ]
    findings += [
        _absolute(metric, name, limit, measurement, confidence, place)
        for name, limit in metric.bounds().items()
        if name in ("min", "max")
    ]
    findings += [
        _ratio(name, limit, measurement, confidence)
        for name, limit in metric.bounds().items()
        if name in ("min_ratio", "max_ratio")
    ]
    if metric.max_drop is not None:
        findings.append(_difference("drop", metric.max_drop, measurement, confidence))
    if metric.max_rise is not None:
        findings.append(_difference("rise", metric.max_rise, measurement, confidence))
    return findings


def overall(findings: list[Finding]) -> State:
    """The verdict of several findings. A float model below its floor makes every other finding meaningless."""
    states = {finding.state for finding in findings}
    for state in (State.INVALID, State.FAIL, State.INCONCLUSIVE, State.PASS):
        if state in states:
            return state
    # Only what cannot be enforced here is left.
    return State.NOT_RUN


def number(value: float) -> str:
    """Four significant digits, and no exponent where plain decimals do."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def ratio_text(value: float) -> str:
    """Three decimals, or three significant digits past ten."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def head(metric: Metric, measurement: Measurement) -> str:
    """The start of every sentence: the figure and the float model's."""
    text = number(measurement.value)
    if isinstance(measurement, Pairs) and metric.relative:
        return text
    return text if measurement.reference is None else f"{text} vs float {number(measurement.reference)}"


def _reference(metric: Metric, name: str, limit: float, reference: float | None) -> Finding:
    if reference is None:
        return Finding(State.INVALID, f"no float figure to hold to {name} {number(limit)}")
    kept = reference >= limit if name == "reference_min" else reference <= limit
    if kept:
        return Finding(State.PASS, "")
    side = "below" if name == "reference_min" else "above"
    return Finding(
        State.INVALID,
        f"the float model itself has {metric.metric} {number(reference)}, {side} {name} {number(limit)}: two bad "
        "models show no drop",
    )


def _absolute(
    metric: Metric, name: str, limit: float, measured: Measurement, confidence: float, place: Place
) -> Finding:
    if metric.machine and not place.absolute:
        return Finding(State.NOT_RUN, f"{name} {number(limit)} {metric.unit} is not enforced here ({place.why_not})")
    upward = name == "min"
    if metric.relative:
        # Agreement is a contrast with the float model, which agrees with itself everywhere: 1 − drop.
        drop = measured.drop(confidence)
        shown = Range(of="value", estimate=1 - drop.estimate, lower=1 - drop.upper, upper=1 - drop.lower,
                      confidence=confidence, method=drop.method)  # fmt: skip
        state = (
            _decide(shown.lower >= limit, shown.upper < limit)
            if upward
            else _decide(shown.upper <= limit, shown.lower > limit)
        )
        edge = shown.lower if upward else shown.upper
        side = "lower" if upward else "upper"
        return Finding(
            state,
            f"{_percent(confidence)} {side} bound {number(edge)} over {_units(measured)}, {name} {number(limit)}",
            shown,
        )
    kept = measured.value >= limit if upward else measured.value <= limit
    if kept:
        return Finding(State.PASS, f"{name} {number(limit)}")
    return Finding(State.FAIL, f"{'below' if upward else 'above'} {name} {number(limit)}")


def _ratio(name: str, limit: float, measured: Measurement, confidence: float) -> Finding:
    interval = measured.ratio(confidence)
    if not math.isfinite(interval.estimate):
        return Finding(State.INVALID, f"the float figure is {measured.reference}: a ratio to it means nothing")
    lower, upper = interval.lower, interval.upper
    text = f"ratio {ratio_text(interval.estimate)}"
    if not measured.exact:
        text += f" [{ratio_text(lower)}, {ratio_text(upper)}]"
    capped = name == "max_ratio"
    state = _decide(upper <= limit, lower > limit) if capped else _decide(lower >= limit, upper < limit)
    note = ""
    if isinstance(measured, Timings) and measured.load > LOAD_NOTICED:
        wide = (lower * (1 - LOAD_BIAS), upper * (1 + LOAD_BIAS))
        if wide[0] <= limit <= wide[1]:
            state = State.INCONCLUSIVE
            note = f" (others took {measured.load:.0%} of the processor while measuring, which could turn this verdict)"
    return Finding(
        state,
        f"{text}, {'limit' if capped else name} {ratio_text(limit)}{note}",
        _range("ratio", interval),
    )


def _difference(what: str, limit: float, measured: Measurement, confidence: float) -> Finding:
    drop = measured.drop(confidence)
    change = drop if what == "drop" else -drop
    state = _decide(change.upper <= limit, change.lower > limit)
    text = f"{what} {number(change.estimate)}"
    if not measured.exact:
        counts = ""
        if isinstance(measured, Pairs) and measured.independent:
            counts = f"{measured.lost.size} lost, {measured.won.size} won of {measured.n}; "
        elif measured.n is not None:
            counts = f"over {_units(measured)}; "
        side, edge = ("lower", change.lower) if state is State.FAIL else ("upper", change.upper)
        text += f" ({counts}{_percent(confidence)} {side} bound {number(edge)})"
    return Finding(state, f"{text}, limit {number(limit)}", _range("drop", drop))


def _decide(kept: bool, broken: bool) -> State:
    return State.PASS if kept else State.FAIL if broken else State.INCONCLUSIVE


def _units(measured: Measurement) -> str:
    samples = measured.outcomes.size if isinstance(measured, Pairs) else measured.n
    return f"{samples} samples of {measured.n} units" if samples != measured.n else f"{measured.n} samples"


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g} %"


def _range(of: str, interval: Interval) -> Range:
    return Range(of=of, estimate=interval.estimate, lower=interval.lower, upper=interval.upper,
                 confidence=interval.confidence, method=interval.method)  # fmt: skip
