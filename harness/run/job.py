"""What the pytest process sends to a worker and what comes back: plain JSON, so a job can go to another machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from harness.evidence import Evidence
from harness.measurement import Measurement
from harness.measurement.scores import Scores
from harness.spec.schema import Spec


class Job(BaseModel):
    """One stage of one case.

    `compress` writes both artifacts; `measure` reloads them in a fresh process and measures; `memory` loads and runs
    one side alone. `mutate` makes a copy of the compressed artifact wrong, for proving the gate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: Literal["compress", "mutate", "measure", "memory"]
    spec: SerializeAsAny[Spec]
    root: str
    reference: str = Field(description="folder of the float artifact")
    compressed: str = Field(description="folder of the compressed artifact")
    data: str | None = Field(default=None, description="address of the evaluated samples; None where there are none")
    cache: str | None = Field(default=None, description="cache folder; None takes and leaves nothing")
    labels: tuple[str, ...] = Field(default=(), description="budgets to measure")
    side: Literal["reference", "compressed"] = "compressed"
    peak_bytes: dict[str, tuple[int, ...]] = Field(
        default_factory=dict, description="side → growth of peak memory, as each of its memory jobs read it"
    )
    least_s: float = Field(
        default=0.0, description="seconds that times are sampled for before they are first looked at"
    )
    mutant: str = Field(default="", description="the fault that is in this job on purpose; empty in every gate")


class Failure(BaseModel):
    """Why something could not be measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sentence: str
    log: str = ""
    kind: Literal["foreseen", "raised", "ended"] = Field(
        default="foreseen",
        description="foreseen: refused on purpose, and the sentence says it all; raised: an exception that nobody "
        "foresaw; ended: the process was killed, ran out of time or memory, or left nothing that can be read, or this "
        "machine could not read or keep a file",
    )


class Measured(BaseModel):
    """What a `measure` job gives back."""

    # A figure that is not a number must reach the judge as what it is.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    measurements: dict[str, Measurement] = Field(default_factory=dict)
    failures: dict[str, Failure] = Field(default_factory=dict)
    reference: Evidence
    compressed: Evidence
    contradictions: tuple[str, ...]
    kernels: str
    names: tuple[str, ...] = Field(default=(), description="what a report calls each evaluation sample")
    scores: Scores | None = Field(
        default=None, description="what both models scored each evaluation sample, where its task says so"
    )


class Outcome(BaseModel):
    """What a worker leaves behind: a result, or the reason why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    measured: Measured | None = None
    peak_bytes: int | None = None
    failure: Failure | None = None
    not_here: str | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    waited: float = Field(
        default=0.0, description="seconds for which other measurements of this machine were waited for"
    )
