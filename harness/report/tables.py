"""Every sample's outcomes as tables beside the report; `weighin verdict` judges those again that tell all it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.measurement import Measurement, table
from harness.measurement.scores import Scores
from harness.run.result import Result
from harness.spec.files import with_case

FOLDER = "outcomes"


class Outcomes(BaseModel):
    """What both models made of every sample of one case's evaluation split, label by label."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    spec: str
    case: str
    names: tuple[str, ...]
    measured: dict[str, Measurement]
    scores: Scores | None = None

    def of(self, labels: Collection[str]) -> Outcomes:
        """Those of some labels."""
        return self.model_copy(
            update={"measured": {label: one for label, one in self.measured.items() if label in labels}}
        )


def outcomes(result: Result) -> Outcomes | None:
    """What the tables of a case are written from; None where no sample was measured."""
    measured = {label: one for label, one in result.measurements.items() if one.ids(result.names)}
    if not measured:
        return None
    return Outcomes(spec=result.spec, case=result.case, names=result.names, measured=measured, scores=result.scores)


def place(spec: str, case: str, label: str) -> str:
    """Where a table lies, from where the report does."""
    return f"{FOLDER}/{with_case(spec, case)}/{label}.csv"


def write(found: Iterable[Outcomes], folder: Path) -> None:
    """Write one table a label, each whole or not at all."""
    for one in found:
        for label, measured in one.measured.items():
            table.write(folder / place(one.spec, one.case, label), measured, one.names, one.scores)
