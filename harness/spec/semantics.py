"""What a well-formed spec must still make sense of: bounds of budgets, parts against tasks, steps in a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from harness.forms import Form, Returned, Stop, choices, route
from harness.methods.base import Method, Trait
from harness.metrics.base import METRICS, Metric
from harness.runtimes.base import RUNTIMES
from harness.spec import foresight
from harness.spec.bounds import bound_faults, suspicious_ratios
from harness.spec.expectation import EVIDENCE
from harness.spec.faults import Fault
from harness.spec.reader import Location, shorten
from harness.spec.resolution import needs_samples, unprovable
from harness.spec.schema import Spec
from harness.tasks.base import TASKS
from harness.training import Training

RESERVED = (EVIDENCE, "spec")


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
        forms = planned(spec)
    except ValueError as error:
        yield _astray(spec, str(error))
        return
    # The last of the forms is what the runtime receives.
    for index, (step, form) in enumerate(zip(spec.compress, forms[:-1], strict=True)):
        for name, meant in step.foreign(form).items():
            yield Fault(("compress", index, name), _misapplied(spec, step, name, form, meant), on_key=True)


def _misapplied(spec: Spec, step: Method, name: str, form: Form, meant: Form) -> str:
    """That an option is for a model in another form than the one in which its step receives it."""
    saving = sorted(one for one, runtime in RUNTIMES.items() if step.transitions[meant] in runtime.saves)
    elsewhere = f", or choose `runtime: {saving[0]}`" if saving and spec.deploy.runtime not in saving else ""
    return (
        f"found {shorten(getattr(step, name))}; {name} of {step.method} is for {_a(meant)}, and this step receives "
        f"{_a(form)}: leave it out{elsewhere}"
    )


def _a(form: Form) -> str:
    return f"a{'n' if form[0] in 'eO' else ''} {form}"


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
    most = None if spec.data is None else spec.data.most
    if most is not None and budget.first > most:
        given = "windows" in budget.model_fields_set
        yield Fault(
            (*at, "windows") if given else at,
            f"{budget.metric} is taken on {budget.first} windows, and `data:` evaluates on {most}: give the budget "
            f"`windows: {most}` or fewer, or the data more of them",
            on_key=not given,
        )
    yield from bound_faults(at, budget)
    yield from suspicious_ratios(at, budget)


def _resolution(spec: Spec, root: Path) -> Iterator[Fault]:
    """Limits that the evaluation split cannot prove, where its size is known before it is loaded."""
    budgets = {label: budget for label, budget in spec.budgets.items() if needs_samples(budget)}
    n = spec.data.evaluated(root) if spec.data is not None and budgets else None
    if not n:
        return
    for label, budget in budgets.items():
        for name, sentence in unprovable(budget, spec.measure.confidence, n):
            yield Fault(("budgets", label, name), sentence)
