"""What a verdict is, and what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from harness.spec.expectation import ExpectFail
from harness.spec.files import with_case
from harness.statistics import Interval

# Names in `Verdict.found` beside those of bounds: see there.
MEASUREMENT, BASELINE = "measurement", "baseline"
_OR_NULL = WithJsonSchema({"type": ["number", "null"]})


class State(StrEnum):
    """The verdicts, worst first. Only PASS is green."""

    FAIL = "FAIL"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"
    EXPECTED = "EXPECTED FAIL"
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
    lower: Annotated[float, BeforeValidator(lambda bound: -math.inf if bound is None else bound), _OR_NULL]
    upper: Annotated[float, BeforeValidator(lambda bound: math.inf if bound is None else bound), _OR_NULL]
    confidence: float = Field(description="of each bound alone, one-sided")
    method: str

    @classmethod
    def over(cls, contrast: str, interval: Interval) -> Range:
        """The range of an interval."""
        return cls(
            of=contrast, estimate=interval.estimate, lower=interval.lower, upper=interval.upper,
            confidence=interval.confidence, method=interval.method,
        )  # fmt: skip


class Broken(BaseModel):
    """One thing that is not kept: a bound, or a fact that makes a row INVALID, with its own clause of the sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bound: str = Field(description="as `found` names it")
    verdict: State
    clause: str


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
    found: dict[str, State] = Field(
        default_factory=dict,
        description="what each bound found; `regress` is the comparison with the stored baseline, `baseline` the want "
        "of one, `measurement` what was wrong before any bound was looked at",
    )
    broken: tuple[Broken, ...] = Field(
        default=(), description="each finding that is neither kept nor not run, with its own clause of the sentence"
    )
    interval: Range | None = Field(default=None, description="of the contrast that decided")
    n: int | None = Field(default=None, description="sampling units behind the figures")
    match: Match | None = Field(
        default=None, description="for times and memory: how far the baseline's machine is this one"
    )
    sentence: str
    details: dict[str, float] = Field(default_factory=dict)
    unaccepted: bool = Field(default=False, description="the budget holds, and only a stored baseline is wanting")
    disturbed: bool = Field(
        default=False, description="kept back by what others did while it was measured: another run may decide it"
    )
    doubted: bool = Field(
        default=False, description="what others did while it was measured is among what keeps it back"
    )
    straddles: bool = Field(
        default=False, description="passes, and no regression is proven, nor that there is none: a longer take may tell"
    )
    improved: bool = Field(default=False, description="better than the baseline beyond noise: it can be tightened")
    expected: tuple[ExpectFail, ...] = Field(
        default=(), description="the entries of `expect_fail` that make it an EXPECTED FAIL"
    )

    @property
    def name(self) -> str:
        """The spec, and in brackets the case where the file has cases."""
        return with_case(self.spec, self.case)

    @property
    def reason(self) -> str:
        """The sentence without the label before it and the verdict behind it."""
        return self.sentence.removeprefix(f"{self.label}: ").removesuffix(f" → {self.verdict}")


@dataclass(frozen=True)
class Finding:
    """One bound, checked.

    Attributes:
        state, text: the verdict of this bound, and a clause for the sentence.
        interval: of the contrast that is bounded.
        bound: its name; empty where something else was found than a bound kept or broken.
        gain: better than the baseline beyond noise.
        disturbed: kept back by what others did while it was measured, more than by its own noise: another run may
            decide it.
        doubted: what others did is among what keeps it back, beside its own noise where it is not `disturbed`.
        straddles: no regression is proven, nor that there is none: a baseline passes it.
    """

    state: State
    text: str
    interval: Range | None = None
    bound: str = ""
    gain: bool = False
    disturbed: bool = False
    doubted: bool = False
    straddles: bool = False


@dataclass(frozen=True)
class Place:
    """What the judge knows of the machine: whether absolute figures of this machine mean anything here.

    Attributes:
        absolute: the baseline was accepted on a machine like this one, or is being accepted now.
        why_not: a clause for the sentence where `absolute` is False.
        match: how far the baseline's machine is this one; None where no baseline is asked.
        slower: by which share the float model is far slower than where its baseline was accepted, below zero where it
            is far quicker; 0 where it is neither.
    """

    absolute: bool = True
    why_not: str = ""
    match: Match | None = None
    slower: float = 0.0


def by_bound(findings: list[Finding]) -> dict[str, State]:
    """What each bound found, the worst first where a name stands twice; what has no bound is `measurement`."""
    found: dict[str, State] = {}
    for finding in findings:
        name = finding.bound or ("" if finding.state is State.PASS else MEASUREMENT)
        if name:
            found[name] = min(found.get(name, finding.state), finding.state, key=list(State).index)
    return found


def not_kept(findings: list[Finding]) -> tuple[Broken, ...]:
    """The findings that keep a row from being green, one by one: of one name there may be several."""
    return tuple(
        Broken(bound=finding.bound or MEASUREMENT, verdict=finding.state, clause=finding.text)
        for finding in findings
        if finding.state not in (State.PASS, State.NOT_RUN)
    )


def overall(findings: list[Finding]) -> State:
    """The verdict of several findings. A float model below its floor makes every other finding meaningless."""
    states = {finding.state for finding in findings}
    for state in (State.INVALID, State.FAIL, State.INCONCLUSIVE, State.PASS):
        if state in states:
            return state
    # Only what cannot be enforced here is left.
    return State.NOT_RUN


__all__ = [
    "BASELINE", "MEASUREMENT", "Broken", "Finding", "Match", "Place", "Range", "State", "Verdict", "by_bound",
    "not_kept", "overall",
]  # fmt: skip
