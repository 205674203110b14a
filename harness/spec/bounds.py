"""Bounds that mean nothing: for their metric's direction, for the values that it can have, for each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.metrics.base import Better, Metric, Span
from harness.spec.faults import Fault
from harness.spec.reader import Location, shorten

# From here on a ratio is taken for a percentage until the budget says why it is none.
PERCENTAGE = 10.0

# A bound on the better side alone says nothing of how bad a model may be: what it was probably meant to be.
_HARMLESS = {
    "lower": {"min": "max", "min_ratio": "max_ratio"},
    "higher": {"max": "min", "max_ratio": "min_ratio"},
}
_SENSELESS = {
    "lower": {"max_drop": "max_rise", "reference_min": "reference_max"},
    "higher": {"max_rise": "max_drop", "reference_max": "reference_min"},
}
_HARMFUL = {"lower": ("max", "max_ratio", "max_rise"), "higher": ("min", "min_ratio", "max_drop")}
_RATIOS = ("min_ratio", "max_ratio")
_BANDS = (("min", "max"), ("min_ratio", "max_ratio"), ("reference_min", "reference_max"))


def harmful(better: Better) -> tuple[str, ...]:
    """The bounds that hold the side on which a model gets worse; a budget needs one of them."""
    return _HARMFUL[better]


def senseless(better: Better) -> tuple[str, ...]:
    """The bounds that are for metrics of the other direction."""
    return tuple(_SENSELESS[better])


def bound_faults(at: Location, budget: Metric) -> Iterator[Fault]:
    """Bounds of a budget that mean nothing for its metric, or for each other."""
    bounds = budget.bounds()
    better, other = budget.better, "lower" if budget.better == "higher" else "higher"
    change = "max_rise" if better == "lower" else "max_drop"
    ratios = () if budget.no_ratio else _RATIOS
    if all(name.startswith("reference_") for name in bounds):
        allowed = ", ".join(("min", "max", *ratios, change))
        given = shorten(budget.model_dump(exclude_unset=True, exclude={"metric"}))
        message = f"found {given}; a budget with no bound on the compressed model can never fail; give one of {allowed}"
        yield Fault(at, message, on_key=True)
    why = f"for {budget.metric} {better} is better"
    for name, meant in _SENSELESS[better].items():
        if name in bounds:
            message = f"{name} is for metrics where {other} is better, and {why}; use {meant}"
            yield Fault((*at, name), f"found {bounds[name]:g}; {message}", True)
    refused = [name for name in _RATIOS if name in bounds and name not in ratios]
    for name in refused:
        message = f"found {bounds[name]:g}; {name} is not for {budget.metric}, {budget.no_ratio}; use {change}"
        yield Fault((*at, name), message, True)
    for name, meant in _HARMLESS[better].items():
        if name in bounds and name not in refused and not any(one in bounds for one in harmful(better)):
            message = f"{name} alone refuses a model for being too good: {why}; use {meant}, or both"
            yield Fault((*at, name), f"found {bounds[name]:g}; {message}", True)
    yield from span_faults(at, budget, budget.span)
    for low, high in _BANDS:
        if low in bounds and high in bounds and bounds[low] > bounds[high]:
            yield Fault((*at, low), f"{low} {bounds[low]:g} is above {high} {bounds[high]:g}: nothing can pass", True)


def suspicious_ratios(at: Location, budget: Metric) -> Iterator[Fault]:
    """Ratios that look like percentages, in a budget that does not say why they are none."""
    for name in ("min_ratio", "max_ratio"):
        limit = budget.bounds().get(name, 0.0)
        if limit >= PERCENTAGE and budget.because is None:
            message = (
                f"{name} {limit:g} means {limit:g} times the float model's {budget.metric}; {limit:g} % of it is "
                f"{limit / 100:g}. Where {limit:g} times is meant, say why with `because:`"
            )
            yield Fault((*at, name), message)


def span_faults(at: Location, budget: Metric, values: Span | None) -> Iterator[Fault]:
    """Limits outside the values that the figure can have, or at their very edge, such as a percentage for a share.

    Args:
        at: where the budget stands.
        budget: whose bounds are looked at.
        values: the least and the greatest that its figure can be; None where nothing is known of them.
    """
    if values is None:
        return
    low, high = values
    span = f"{budget.metric} " + (f"lies in {low:g}…{high:g}" if math.isfinite(high) else f"is never below {low:g}")
    for name, limit in budget.bounds().items():
        percent = (
            f", a share and no percentage: {limit:g} % is {limit / 100:g}" if high == 1 and 1 < limit <= 100 else ""
        )
        if name in ("max_drop", "max_rise"):
            if limit >= high - low:
                yield Fault((*at, name), f"a change of {limit:g} can never happen: {span}{percent}")
        elif name in _SENSELESS[budget.better] or name.endswith("ratio"):
            continue
        elif not low <= limit <= high:
            yield Fault((*at, name), f"{limit:g} is out of reach: {span}{percent}")
        elif limit == (low if name.endswith("min") else high):
            yield Fault((*at, name), f"{name} {limit:g} can never fail: {span}")
        elif name.endswith("max") and limit == low and math.isinf(high) and not budget.relative:
            yield Fault((*at, name), f"{name} {limit:g} leaves nothing that can pass: {span}, and no model reaches it")
