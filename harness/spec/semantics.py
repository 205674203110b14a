"""What a well-formed spec must still make sense of: bounds against directions, parts against tasks, steps in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.forms import Form, Stop, route
from harness.metrics.base import Metric
from harness.spec.reader import Location
from harness.spec.schema import Spec

RESERVED = ("evidence", "spec")

# A bound on the better side alone says nothing of how bad a model may be: what it was probably meant to be.
_HARMLESS = {
    "lower": {"min": "max", "min_ratio": "max_ratio"},
    "higher": {"max": "min", "max_ratio": "min_ratio"},
}
_SENSELESS = {
    "lower": {"max_drop": "max_rise", "reference_min": "reference_max"},
    "higher": {"max_rise": "max_drop", "reference_max": "reference_min"},
}


class Fault(NamedTuple):
    """Where in the spec, and what."""

    location: Location
    message: str


def faults(spec: Spec) -> Iterator[Fault]:
    """Everything in a well-formed spec that means nothing."""
    for label, budget in spec.budgets.items():
        if label in RESERVED:
            yield Fault(("budgets", label), f"the label {label!r} is taken by an item that every spec has; choose another")
        yield from _bounds(("budgets", label), budget)
        if budget.tasks is not None and spec.task not in budget.tasks:
            allowed = ", ".join(sorted(budget.tasks))
            yield Fault(("budgets", label), f"{budget.metric} is not defined for {spec.task}; it is for {allowed}")
        if budget.needs_data and spec.data is None:
            yield Fault(("budgets", label), f"{budget.metric} is measured on data, and the spec names no `data:`")
    if spec.data is None:
        for index, step in enumerate(spec.compress):
            if step.needs_data:
                yield Fault(("compress", index), f"{step.method} uses calibration data, and the spec names no `data:`")
    elif spec.task not in spec.data.tasks:
        allowed = ", ".join(sorted(spec.data.tasks))
        yield Fault(("data", "source"), f"{spec.data.source} serves {allowed}, not {spec.task}")
    try:
        planned(spec)
    except ValueError as error:
        yield Fault(("compress",), f"the steps do not compose: {error}")


def planned(spec: Spec) -> tuple[Form, ...]:
    """The form in which each step, and at the end the runtime, receives the model.

    Raises:
        ValueError: the steps do not compose, with the sentence that says why.
    """
    steps = [Stop(f"step {index} ({step.method})", step.transitions) for index, step in enumerate(spec.compress, 1)]
    end = Stop(f"the runtime {spec.deploy.runtime}", {form: form for form in spec.deploy.saves})
    # The float reference takes the same road without the steps, and must arrive too.
    route(spec.model.gives, [end])
    return route(spec.model.gives, [*steps, end])


def _bounds(at: Location, budget: Metric) -> Iterator[Fault]:
    bounds, better = budget.bounds(), budget.better
    if not any(name for name in bounds if not name.startswith("reference_")):
        allowed = "min, max, min_ratio, max_ratio, " + ("max_rise" if better == "lower" else "max_drop")
        yield Fault(at, f"a budget without a bound on the compressed model can never fail; give one of {allowed}")
    for name, meant in _SENSELESS[better].items():
        if name in bounds:
            yield Fault((*at, name), f"{name} makes no sense for {budget.metric}, where {better} is better; use {meant}")
    for name, meant in _HARMLESS[better].items():
        if name in bounds and meant not in bounds:
            yield Fault(
                (*at, name),
                f"{name} alone makes no sense for {budget.metric}, where {better} is better: it refuses a model for being "
                f"too good; use {meant}, or both for a band",
            )
    for low, high in (("min", "max"), ("min_ratio", "max_ratio"), ("reference_min", "reference_max")):
        if low in bounds and high in bounds and bounds[low] > bounds[high]:
            yield Fault((*at, low), f"{low} {bounds[low]:g} is above {high} {bounds[high]:g}: nothing can pass")
