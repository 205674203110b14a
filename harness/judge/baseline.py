"""What was accepted last, of one spec: the document that `harness.baselines` keeps as a file.

A portable part (counts, and accuracy outcomes with the fingerprint of their data, each with the kernel path it was
taken on) and one section a machine fingerprint (times and memory).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from harness.measurement import Measurement, Timings
from harness.metrics.base import Metric


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_nan(bound: float) -> float:
    if math.isnan(bound):
        raise ValueError("a bound may be infinite, and is to be a number")
    return bound


_Bound = Annotated[float, AfterValidator(_no_nan)]


class Accepted(_Model):
    """One accepted measurement."""

    metric: str
    metric_version: int
    # To what is no number nothing can be compared, and everything would be kept.
    value: FiniteFloat
    reference: FiniteFloat | None
    kernels: str
    ratio: tuple[_Bound, FiniteFloat, _Bound] | None = Field(
        default=None, description="for times: lower bound, estimate, upper bound"
    )
    reach: tuple[FiniteFloat, FiniteFloat] | None = Field(
        default=None, description="for memory: least and greatest reading; null in files from before it was read often"
    )
    outcomes: Measurement | None = Field(default=None, description="for accuracies: per-sample outcomes, packed")
    options: dict[str, Any] | None = Field(
        default=None,
        description="of the metric, those that are not its defaults, and the samples of a timed call; null of a metric "
        "without options, and in files from before they were kept: nothing is compared then",
    )
    float_model: str | None = Field(
        default=None,
        description="of times and memory: address of the float model; null in files from before it was kept",
    )


def accept(
    metric: Metric, measurement: Measurement, kernels: str, confidence: float, float_model: str = ""
) -> Accepted:
    """What a baseline keeps of a measurement."""
    ratio = measurement.ratio(confidence) if measurement.kept == "ratio" else None
    alone = measurement.alone() if measurement.repeated else None
    return Accepted(
        metric=metric.metric,
        metric_version=metric.version,
        value=measurement.value,
        reference=measurement.reference,
        kernels=kernels,
        ratio=(ratio.lower, ratio.estimate, ratio.upper) if ratio is not None else None,
        reach=(alone.lower, alone.upper) if alone is not None else None,
        outcomes=measurement if measurement.kept == "outcomes" else None,
        options=asked(metric, measurement),
        float_model=float_model or None if metric.machine else None,
    )


def asked(metric: Metric, measurement: Measurement) -> dict[str, Any] | None:
    """What a budget asked of its metric beside bounds: options that are not its defaults; None where it has none.

    A batch that the budget leaves to `measure` is told as the one that was timed.
    """
    own = {name: field for name, field in type(metric).model_fields.items() if name not in Metric.model_fields}
    if not own:
        return None
    usual = {name: field.get_default(call_default_factory=True) for name, field in own.items()}
    other = {name for name in own if getattr(metric, name) != usual[name]}
    options = metric.model_dump(mode="json", include=other)
    return {**options, "batch": measurement.batch} if "batch" in own and isinstance(measurement, Timings) else options


class Machine(_Model):
    """What was accepted on one machine."""

    environment: dict[str, Any] = Field(description="for the reader: the fingerprint is what is compared")
    threads: int
    accepted: str = Field(default="", description="day of the latest acceptance here; empty where it was not kept yet")
    labels: dict[str, Accepted]


class Change(_Model):
    """One acceptance: when, at which commit, why, and what moved."""

    date: str
    commit: str
    reason: str
    values: dict[str, tuple[float | None, float | None]] = Field(description="label → old and new value")


class CaseBaseline(_Model):
    """What was accepted for one case."""

    portable: dict[str, Accepted] = Field(default_factory=dict)
    machines: dict[str, Machine] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)
    history: tuple[Change, ...] = ()


class Baseline(_Model):
    """One file."""

    version: Literal[1] = 1
    spec: str
    cases: dict[str, CaseBaseline] = Field(default_factory=dict)
