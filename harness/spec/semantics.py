"""What a well-formed spec must still make sense of: bounds against directions, parts against tasks, steps in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from harness.forms import Form, Returned, Stop, choices, route
from harness.methods.base import Trait
from harness.metrics.base import METRICS, Better, Metric
from harness.spec import foresight
from harness.spec.expectation import EVIDENCE
from harness.spec.faults import Fault
from harness.spec.reader import Location
from harness.spec.resolution import needs_samples, unprovable
from harness.spec.schema import Spec
from harness.tasks.base import TASKS
from harness.training import Training

RESERVED = (EVIDENCE, "spec")

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
_BANDS = (("min", "max"), ("min_ratio", "max_ratio"), ("reference_min", "reference_max"))


def harmful(better: Better) -> tuple[str, ...]:
    """The bounds that hold the side on which a model gets worse; a budget needs one of them."""
    return _HARMFUL[better]


def senseless(better: Better) -> tuple[str, ...]:
    """The bounds that are for metrics of the other direction."""
    return tuple(_SENSELESS[better])


def suited_by(metric: type[Metric]) -> list[str]:
    """The tasks that give what a metric is made of."""
    return [name for name, task in TASKS.items() if metric.suits(task)]


def own_metrics(task: str) -> list[str]:
    """The metrics that are made of what a task gives, and of what not every task does."""
    every = len(TASKS.items())
    return [
        name for name in METRICS.offered() if METRICS[name].suits(TASKS[task]) and len(suited_by(METRICS[name])) < every
    ]


def faults(spec: Spec, root: Path) -> Iterator[Fault]:
    """Everything in a well-formed spec that means nothing.

    Args:
        spec: the spec.
        root: the project root, below which data may be counted.
    """
    if spec.data is not None and spec.task not in spec.data.served:
        allowed = ", ".join(sorted(spec.data.served))
        yield Fault(("data", "source"), f"the data {spec.data.source} serves {allowed}, and the task is {spec.task}")
    if spec.data is None:
        lacking = list(_without_data(spec))
        if not lacking and TASKS[spec.task].needs_data:
            lacking = [
                Fault(("task",), f"{spec.task} needs `data:` to trace and to run the model with; the spec has none")
            ]
        yield from lacking
    yield from _composition(spec)
    yield from _undone(spec)
    for label, budget in spec.budgets.items():
        yield from _budget(("budgets", label), budget, spec)
    yield from foresight.faults(spec)
    yield from _resolution(spec, root)


def _without_data(spec: Spec) -> Iterator[Fault]:
    """What asks for data in a spec that names none."""
    for index, step in enumerate(spec.compress):
        if step.needs_data:
            yield Fault(("compress", index, "method"), f"{step.method} calibrates on data, and the spec has no `data:`")
        for name in type(step).model_fields:
            if isinstance(getattr(step, name), Training):
                yield Fault(
                    ("compress", index, name), f"{step.method} trains on data, and the spec has no `data:`", on_key=True
                )
    for label, budget in spec.budgets.items():
        if budget.needs_data:
            yield Fault(
                ("budgets", label), f"{budget.metric} is measured on data, and the spec has no `data:`", on_key=True
            )


def planned(spec: Spec) -> tuple[Form, ...]:
    """The form in which each step, and at the end the runtime, receives the model.

    Raises:
        ValueError: the steps do not compose, with the sentence that says why.
    """
    # The float reference takes the same road without the steps, and must arrive too.
    _route(spec.model.gives, (_end(spec),))
    return _route(spec.model.gives, (*_steps(spec), _end(spec)))


Stopping = tuple[str, tuple[tuple[Form, Returned], ...]]


def _steps(spec: Spec) -> tuple[Stopping, ...]:
    return tuple(
        (f"step {index} ({step.method})", tuple(step.transitions.items()))
        for index, step in enumerate(spec.compress, 1)
    )


def _end(spec: Spec) -> Stopping:
    return f"the runtime {spec.deploy.runtime}", tuple((form, form) for form in sorted(spec.deploy.saves))


# Thousands of specs share a few dozen roads.
@lru_cache(maxsize=4096)
def _route(start: Form, stops: tuple[Stopping, ...]) -> tuple[Form, ...]:
    return route(start, [Stop(name, dict(forms)) for name, forms in stops])


def _composition(spec: Spec) -> Iterator[Fault]:
    try:
        planned(spec)
    except ValueError as error:
        yield _astray(spec, str(error))


def _undone(spec: Spec) -> Iterator[Fault]:
    """Steps after which nothing is left of a step before."""
    for later, step in enumerate(spec.compress):
        for earlier, before in enumerate(spec.compress[:later]):
            lost = sorted(step.undoes & before.leaves, key=list(Trait).index)
            if lost:
                first = f"step {earlier + 1} ({before.method})"
                message = (
                    f"step {later + 1} ({step.method}) undoes {lost[0]} by {first}: put it before, or leave one out"
                )
                yield Fault(("compress", later, "method"), message)
                break


def _astray(spec: Spec, reason: str) -> Fault:
    """Where a road that leads nowhere goes wrong: the first step off the forms that the runtime can be reached from.

    (The search itself may walk on in a form that is no way out, and blame what comes last.)
    """
    start, end, steps = spec.model.gives, _end(spec), _steps(spec)
    saved = ", ".join(sorted(spec.deploy.saves))
    deployed: Location = ("deploy", "runtime") if "deploy" in spec.model_fields_set else ("compress", len(steps) - 1)
    if not _passes(start, (end,)):
        return Fault(deployed, f"the float model cannot be deployed, so there is nothing to compare with: {reason}")
    useful: list[Stopping] = []
    for index, (name, forms) in enumerate(steps):
        at: Location = ("compress", index, "method")
        fitting = [(taken, tuple(one for one in choices(given) if _passes(one, (end,)))) for taken, given in forms]
        useful.append((name, tuple((taken, given) for taken, given in fitting if given)))
        if not useful[-1][1]:
            given = ", ".join(sorted({one for _, given in forms for one in choices(given)}))
            return Fault(at, f"the steps do not compose: {name} gives {given}, but {end[0]} takes {saved}")
        try:
            _route(start, tuple(useful))
        except ValueError as error:
            return Fault(at, f"the steps do not compose: {error}")
    return Fault(deployed, f"the steps do not compose: {reason}")


def _passes(start: Form, stops: tuple[Stopping, ...]) -> bool:
    try:
        return bool(_route(start, stops))
    except ValueError:
        return False


def _budget(at: Location, budget: Metric, spec: Spec) -> Iterator[Fault]:
    label = str(at[-1])
    if label in RESERVED:
        yield Fault(at, f"the label {label!r} is taken by an item that every spec has; choose another", on_key=True)
    if label != budget.metric and label in METRICS:
        yield Fault(at, f"the label {label!r} names a metric, and the budget measures {budget.metric}", on_key=True)
    if not budget.suits(TASKS[spec.task]):
        suited, own = ", ".join(suited_by(type(budget))), ", ".join(own_metrics(spec.task))
        instead = f", and {spec.task} has {own}" if own else ""
        yield Fault(
            at,
            f"{budget.metric} is not defined for {spec.task}; it is for {suited or 'none that is installed'}{instead}",
            on_key=True,
        )
    yield from bound_faults(at, budget)


def _resolution(spec: Spec, root: Path) -> Iterator[Fault]:
    """Limits that the evaluation split cannot prove, where its size is known before it is loaded."""
    budgets = {label: budget for label, budget in spec.budgets.items() if needs_samples(budget)}
    n = spec.data.evaluated(root) if spec.data is not None and budgets else None
    if not n:
        return
    for label, budget in budgets.items():
        for name, sentence in unprovable(budget, spec.measure.confidence, n):
            yield Fault(("budgets", label, name), sentence)


def bound_faults(at: Location, budget: Metric) -> Iterator[Fault]:
    """Bounds of a budget that mean nothing for its metric, or for each other."""
    bounds = budget.bounds()
    better, other = budget.better, "lower" if budget.better == "higher" else "higher"
    if all(name.startswith("reference_") for name in bounds):
        allowed = "min, max, min_ratio, max_ratio, " + ("max_rise" if better == "lower" else "max_drop")
        yield Fault(
            at, f"a budget with no bound on the compressed model can never fail; give one of {allowed}", on_key=True
        )
    why = f"for {budget.metric} {better} is better"
    for name, meant in _SENSELESS[better].items():
        if name in bounds:
            yield Fault((*at, name), f"{name} is for metrics where {other} is better, and {why}; use {meant}", True)
    for name, meant in _HARMLESS[better].items():
        if name in bounds and not any(one in bounds for one in harmful(better)):
            yield Fault(
                (*at, name), f"{name} alone refuses a model for being too good: {why}; use {meant}, or both", True
            )
    yield from _spans(at, budget, bounds)
    for low, high in _BANDS:
        if low in bounds and high in bounds and bounds[low] > bounds[high]:
            yield Fault((*at, low), f"{low} {bounds[low]:g} is above {high} {bounds[high]:g}: nothing can pass", True)


def _spans(at: Location, budget: Metric, bounds: Mapping[str, float]) -> Iterator[Fault]:
    """Limits outside the values that the figure can have, such as a percentage where a share is meant."""
    if budget.span is None:
        return
    low, high = budget.span
    span = f"{budget.metric} lies in {low:g}…{high:g}"
    for name, limit in bounds.items():
        percent = (
            f", a share and no percentage: {limit:g} % is {limit / 100:g}" if high == 1 and 1 < limit <= 100 else ""
        )
        if name in ("min", "max", "reference_min", "reference_max") and not low <= limit <= high:
            yield Fault((*at, name), f"{limit:g} is out of reach: {span}{percent}")
        if name in ("max_drop", "max_rise") and limit >= high - low:
            yield Fault((*at, name), f"a change of {limit:g} can never happen: {span}{percent}")
