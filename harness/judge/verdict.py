"""What a verdict is, and what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.judge.figures import number, ratio_text
from harness.statistics import Interval


class State(StrEnum):
    """The five verdicts, worst first. Only PASS is green."""

    FAIL = "FAIL"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_RUN = "NOT RUN"
    PASS = "PASS"


class Match(StrEnum):
    """How far a baseline's machine is this one, closest first."""

    EXACT = "exact"
    COMPATIBLE = "compatible"
    FOREIGN = "foreign"


class Range(BaseModel):
    """An interval as a report shows it; `of` names the contrast: value, ratio or drop."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: str
    estimate: float
    # JSON has no infinity: a bound that the data did not set is null there.
    lower: Annotated[float, BeforeValidator(lambda bound: -math.inf if bound is None else bound)]
    upper: Annotated[float, BeforeValidator(lambda bound: math.inf if bound is None else bound)]
    confidence: float = Field(description="of each bound alone, one-sided")
    method: str

    @classmethod
    def over(cls, contrast: str, interval: Interval) -> Range:
        """The range of an interval."""
        return cls(
            of=contrast, estimate=interval.estimate, lower=interval.lower, upper=interval.upper,
            confidence=interval.confidence, method=interval.method,
        )  # fmt: skip


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
    match: Match | None = Field(
        default=None, description="for times and memory: how far the baseline's machine is this one"
    )
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
        match: how far the baseline's machine is this one; None where no baseline is asked.
    """

    absolute: bool = True
    why_not: str = ""
    match: Match | None = None


def overall(findings: list[Finding]) -> State:
    """The verdict of several findings. A float model below its floor makes every other finding meaningless."""
    states = {finding.state for finding in findings}
    for state in (State.INVALID, State.FAIL, State.INCONCLUSIVE, State.PASS):
        if state in states:
            return state
    # Only what cannot be enforced here is left.
    return State.NOT_RUN


__all__ = ["Finding", "Match", "Place", "Range", "State", "Verdict", "number", "overall", "ratio_text"]
