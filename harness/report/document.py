"""The report as one versioned document: every other view is made from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.evidence import Evidence
from harness.judge.verdict import State, Verdict
from harness.measurement import Blocks, Sampled
from harness.report.tables import Outcomes, place
from harness.run.environment import Environment
from harness.run.result import Result

MAX_FLIPS = 200


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Flips(_Model):
    """Samples on which the two models differ: how many, and the first of them by name."""

    lost: tuple[str, ...] = Field(description="on which the compressed model does worse")
    won: tuple[str, ...] = Field(description="on which the compressed model does better")
    lost_total: int = Field(description="how many were lost, named or not")
    won_total: int = Field(description="how many were won, named or not")
    lost_means: str = Field(default="", description="what was lost, such as float right, compressed wrong")
    won_means: str = Field(default="", description="what was won")


class CaseRecord(_Model):
    """What stands behind the rows of one case."""

    spec: str
    case: str
    title: str
    task: str
    steps: tuple[str, ...]
    environment: Environment
    kernels: str
    reference: Evidence | None
    compressed: Evidence | None
    contradictions: tuple[str, ...]
    seconds: dict[str, float]
    log: str = ""
    flips: dict[str, Flips] = Field(default_factory=dict)
    blocks: dict[str, Blocks] = Field(default_factory=dict)
    tables: dict[str, str] = Field(
        default_factory=dict, description="label → table of every sample's outcomes, from where the report lies"
    )


class Report(_Model):
    """One run: `rows` has one entry a spec, case and label."""

    version: Literal[1] = 1
    weighin: str = Field(description="version of weighin")
    created: str = Field(description="ISO 8601, UTC")
    rows: tuple[Verdict, ...]
    cases: tuple[CaseRecord, ...]
    orphaned_baselines: tuple[str, ...] = ()

    def counts(self) -> dict[State, int]:
        """Rows by verdict, every verdict named."""
        return {state: sum(row.verdict is state for row in self.rows) for state in State}


def wanting(rows: Sequence[Verdict]) -> str:
    """How many of the FAILs are no broken budgets, as a parenthesis behind their count; empty where all are."""
    unaccepted, failed = sum(row.unaccepted for row in rows), sum(row.verdict is State.FAIL for row in rows)
    if not unaccepted:
        return ""
    return f" ({'' if unaccepted == failed else f'{unaccepted} of them '}only because no baseline is stored)"


def record(result: Result, kept: Outcomes | None = None) -> CaseRecord:
    """What the report keeps of a case's result; the tables of what is kept besides are named."""
    flips, blocks = {}, {}
    for label, measured in result.measurements.items():
        if isinstance(measured, Sampled) and result.names:
            flips[label] = Flips(
                lost=tuple(result.names[index] for index in measured.lost[:MAX_FLIPS]),
                won=tuple(result.names[index] for index in measured.won[:MAX_FLIPS]),
                lost_total=int(measured.lost.size),
                won_total=int(measured.won.size),
                lost_means=measured.changed[0],
                won_means=measured.changed[1],
            )
        if (course := measured.course()) is not None:
            blocks[label] = course
    shared = {name: getattr(result, name) for name in CaseRecord.model_fields if name in Result.model_fields}
    failures = (result.failure, *result.failures.values())
    # Budgets that failed together share one log.
    log = "\n".join(dict.fromkeys(one.log for one in failures if one is not None and one.log))
    tables = {label: place(kept.spec, kept.case, label) for label in kept.measured} if kept is not None else {}
    return CaseRecord(**shared, flips=flips, blocks=blocks, tables=tables, log=log)


def merged(runs: Sequence[tuple[CaseRecord, Collection[str]]]) -> CaseRecord:
    """What stands behind the rows of a case that several processes ran, one after another's death.

    Args:
        runs: of each run its record and the labels that were judged from it; one at least. What belongs to no label is
            the last one's, but for the logs, all of which are kept.
    """
    last, _ = runs[-1]
    if len(runs) == 1:
        return last
    changes: dict[str, Any] = {
        name: {label: own for one, labels in runs for label, own in getattr(one, name).items() if label in labels}
        for name in ("flips", "blocks", "tables")
    }
    return last.model_copy(update={**changes, "log": "\n".join(dict.fromkeys(one.log for one, _ in runs if one.log))})


def write(report: Report, folder: Path) -> Path:
    """Write ``report.json`` into a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    temporary.replace(path)
    return path
