"""What running one case gives: the document that the judge reads and the report shows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from harness.evidence import Evidence
from harness.measurement import Measurement
from harness.measurement.scores import Scores
from harness.run.environment import Environment
from harness.run.job import Failure


class Result(BaseModel):
    """One case, measured.

    Attributes:
        failure: why nothing could be measured; None where something was.
        not_here: the unmet requirement; None where all are met.
        measurements: label → raw values of both sides.
        failures: label → why that one budget could not be measured.
        artifact: sha256 of each file of the compressed artifact.
        float_model: address of the float model: where it differs, another model was compressed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    spec: str
    case: str = ""
    title: str = ""
    task: str = ""
    steps: tuple[str, ...] = ()
    failure: Failure | None = None
    not_here: str | None = None
    measurements: dict[str, Measurement] = Field(default_factory=dict)
    failures: dict[str, Failure] = Field(default_factory=dict)
    reference: Evidence | None = None
    compressed: Evidence | None = None
    contradictions: tuple[str, ...] = ()
    kernels: str = ""
    names: tuple[str, ...] = ()
    scores: Scores | None = None
    waited: float = Field(
        default=0.0, description="seconds for which other measurements of this machine were waited for"
    )
    artifact: dict[str, str] = Field(default_factory=dict)
    float_model: str = ""
    environment: Environment
    seconds: dict[str, float] = Field(default_factory=dict, description="seconds spent a stage; 0 where cached")
