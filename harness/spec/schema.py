"""The spec language, version 1, as models. What is written here is what a YAML file may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticKnownError

from harness.data.base import DATA, Data
from harness.methods.base import METHODS, Method
from harness.metrics.base import METRICS, Metric
from harness.registry import NameOf, OneOf, Options
from harness.runtimes.base import RUNTIMES, Runtime
from harness.sources.base import SOURCES, Source
from harness.spec.expectation import ExpectFail, one_or_several
from harness.spec.requirements import CAPABILITIES
from harness.spec.tiers import Tier
from harness.tasks.base import TASKS

# Keys of a file that are worked off before a `Spec` is made of the rest.
FILE_KEYS = {
    "cases": "one spec a case: what each changes in this file; maps merge, lists replace, null takes away",
    "extends": "a stem: another file, relative to this one",
}
LABEL = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"
Label = Annotated[str, StringConstraints(pattern=LABEL)]


class Measure(Options):
    """How to measure; every key has a default."""

    # numpy takes no larger one.
    seed: int = Field(default=0, ge=0, lt=2**32, description="every random choice derives from it")
    threads: int = Field(default=1, ge=1, le=256, description="threads of the worker that compresses and measures")
    batch: int = Field(default=1, ge=1, description="samples a call, where a metric does not say")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="of every one-sided bound")
    timeout_s: float = Field(
        default=900,
        gt=0,
        description="seconds before a stage of this spec is killed; waiting for the machine does not count",
    )
    memory_mb: int | None = Field(
        default=None, ge=256, description="memory that the worker may allocate; none by default"
    )
    latency_s: float = Field(default=10, gt=0, le=600, description="seconds that one latency budget may sample for")


def _name_metrics(value: Any) -> Any:
    """A budget's key is a label; the metric is the one of that name where the budget names none."""
    if not isinstance(value, dict):
        return value
    return {
        label: {"metric": label, **budget} if isinstance(budget, dict) and "metric" not in budget else budget
        for label, budget in value.items()
    }


def _suited(model: Source, info: ValidationInfo) -> Source:
    """The model with what the task decides of it; where the task itself is faulty, that is told."""
    task = info.data.get("task")
    return model if task is None else model.suited(task, TASKS[task].head)


def _suited_within(steps: tuple[Method, ...], info: ValidationInfo) -> tuple[Method, ...]:
    """The steps with the same of models in their options, such as a student."""
    return tuple(
        step.model_copy(update={name: _suited(value, info) for name, value in step if isinstance(value, Source)})
        for step in steps
    )


def _whole(value: Any) -> Any:
    # A literal is compared by ==, which true and 1.0 would pass.
    if type(value) is not int:
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


class Spec(Options):
    """One case: a model, what is done to it, and the budgets that the result must keep."""

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(description="version of the spec language")
    title: str = Field(default="", description="what a report calls this spec; its path otherwise")
    task: Annotated[str, NameOf(TASKS)] = Field(description="what the model does")
    model: Annotated[Source, OneOf(SOURCES), AfterValidator(_suited)] = Field(
        description="where the float model comes from"
    )
    data: Annotated[Data, OneOf(DATA)] | None = Field(
        default=None, description="what it is calibrated and evaluated on"
    )
    compress: Annotated[
        tuple[Annotated[Method, OneOf(METHODS)], ...],
        Field(strict=False, min_length=1),
        AfterValidator(_suited_within),
    ] = Field(description="steps, in order")
    deploy: Annotated[Runtime, OneOf(RUNTIMES)] = Field(
        default_factory=lambda: RUNTIMES["torch"](runtime="torch"),
        description="the runtime that saves and runs both models",
    )
    measure: Measure = Field(
        default_factory=Measure,
        description="how to measure: seed, threads, batch, confidence, limits on time and memory",
    )
    budgets: Annotated[
        dict[Label, Annotated[Metric, OneOf(METRICS)]], BeforeValidator(_name_metrics), Field(min_length=1)
    ] = Field(description="one test case an entry; a key is a label, and the metric's name where `metric` is not given")
    tier: Tier = Field(default="ci", description="when it runs: on every change, nightly, or before a release")
    requires: Annotated[tuple[Annotated[str, NameOf(CAPABILITIES)], ...], Field(strict=False)] = Field(
        default=(), description="what a machine must have; elsewhere the spec is NOT RUN"
    )
    because: str | None = Field(
        default=None,
        pattern=r"\S",
        description="why the spec says what it says: `audit` asks for a new one where more than a bound loosens",
    )
    expect_fail: Annotated[tuple[ExpectFail, ...], BeforeValidator(one_or_several), Field(strict=False)] = Field(
        default=(), description="failures that are tolerated until a day; one entry, or a list"
    )
