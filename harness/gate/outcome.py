"""What one item leaves for the run, and how a verdict becomes a pytest outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from harness.judge.acceptance import Candidate
from harness.judge.verdict import State, Verdict
from harness.report.document import CaseRecord
from harness.report.tables import Outcomes

# Exit codes past pytest's own: a measurement means nothing, or cannot tell yet.
EXIT_BROKEN, EXIT_INVALID, EXIT_INCONCLUSIVE = 1, 10, 11
_PHASES = {"setup": "set-up", "call": "call", "teardown": "teardown"}
# In the place of a phase: how far the item came is not known.
DIED = "died"
# Of an item: its file, with no link in the path, the case and the label.
ItemKey = tuple[str, str, str]


class GateError(Exception):
    """A verdict that is not green; the text is its sentence."""


class BudgetBroken(GateError):
    """FAIL."""


class NoVerdict(GateError):
    """INVALID or INCONCLUSIVE: raised while setting up, which pytest reports as an error and not a failure."""


class ItemOutcome(BaseModel):
    """What an item hands to the reporting process; plain JSON, because under xdist that is another process.

    Attributes:
        verdict: the row; its `spec` is what this run calls the spec.
        nodeid: of the item.
        run: names the run of its case that it was judged from; each process has its own. Empty where there was none.
        record: what stands behind the case; on the first item of a case that a process ran.
        samples: every sample's outcomes, where a report is asked for; on the same item.
        candidate: what this label offers to a baseline, when baselines are updated.
        root: the project root.
        path: the YAML file, with no link in its path: what tells two specs apart that have the same id.
        id: the spec's id, by which its baseline is kept.
        project: where the project lies, from the folder that all projects of the run lie in; empty where there is one.
        known: labels of the case, so that an update drops what the spec no longer has.
        cases: cases of the file, for the same reason.
        selected: labels of the case that this run is to judge; nothing is accepted where one of them has no verdict.
        message: what a failure prints; the sentence where it is empty.
        notes: lines for the end of the run.
        withdrawn: where an earlier export of the case lay, removed before it is run anew; on the case's first item.
        failed: what was asked for could not be done, as `notes` say; the run fails for it.
    """

    model_config = ConfigDict(frozen=True)
    verdict: Verdict
    nodeid: str
    run: str = ""
    record: CaseRecord | None = None
    samples: Outcomes | None = None
    candidate: Candidate | None = None
    root: str
    path: str
    id: str
    project: str = ""
    known: tuple[str, ...] = Field(default=())
    cases: tuple[str, ...] = Field(default=())
    selected: tuple[str, ...] = Field(default=())
    message: str = ""
    notes: tuple[str, ...] = ()
    withdrawn: str = ""
    failed: bool = False

    @property
    def key(self) -> ItemKey:
        """What the run has one row of."""
        return self.path, self.verdict.case, self.verdict.label

    def replacing(self, earlier: ItemOutcome) -> ItemOutcome:
        """This outcome in the place of an earlier one of the same item, with what that one did."""
        return self.model_copy(
            update={
                "notes": tuple(dict.fromkeys((*earlier.notes, *self.notes))),
                "withdrawn": self.withdrawn or earlier.withdrawn,
                "failed": self.failed or earlier.failed,
            }
        )


class CaseOutcome(BaseModel):
    """What became of the export of a case, once the last of its items is over.

    Attributes:
        path: the YAML file, with no link in its path.
        case: its name.
        exported: as a sentence.
        failed: what was asked for could not be done; the run fails for it.
    """

    model_config = ConfigDict(frozen=True)
    path: str
    case: str
    exported: str
    failed: bool = False


class ItemReport(BaseModel):
    """What hangs on each of pytest's reports of an item.

    Attributes:
        outcome: of the item; on the report of its set-up.
        spoiled: a failure beside the verdict: of a fixture, of a teardown, of another plugin.
        case: on the last report of the last item of a case.
    """

    model_config = ConfigDict(frozen=True)
    outcome: ItemOutcome | None = None
    spoiled: bool = False
    case: CaseOutcome | None = None


def labels_by_verdict(rows: Sequence[Verdict]) -> str:
    """Labels by verdict, as a clause: ``size_mb, top1 FAIL``."""
    states = dict.fromkeys(row.verdict for row in rows)
    return "; ".join(f"{', '.join(row.label for row in rows if row.verdict is state)} {state}" for state in states)


def obstacle(rows: Sequence[Verdict], selected: Iterable[str], spoiled: Mapping[str, str]) -> str:
    """Why a case is neither exported nor accepted; empty where all of it is green.

    Args:
        rows: its verdicts.
        selected: the labels that were to be judged.
        spoiled: label → the phase in which its item failed beside its verdict, or `DIED`.
    """
    broken = [row for row in rows if row.verdict is not State.PASS]
    if broken:
        return labels_by_verdict(broken)
    if spoiled:
        return "; ".join(_beside(label, phase) for label, phase in spoiled.items())
    judged = {row.label for row in rows}
    missing = [label for label in selected if label not in judged]
    return f"{', '.join(missing)} without a verdict" if missing else ""


def _beside(label: str, phase: str) -> str:
    if phase == DIED:
        return f"{label} lost its xdist worker before it was over"
    return f"{label} failed in its {_PHASES[phase]}"


def exit_status(states: set[State], strict: bool) -> int | None:
    """The exit code that the verdicts ask for, or None where all are green (or not run, where that is allowed)."""
    if State.FAIL in states or (strict and State.NOT_RUN in states):
        return EXIT_BROKEN
    if State.INVALID in states:
        return EXIT_INVALID
    if State.INCONCLUSIVE in states:
        return EXIT_INCONCLUSIVE
    return None


def properties(verdict: Verdict) -> list[tuple[str, Any]]:
    """The measured numbers, as JUnit properties."""
    found: list[tuple[str, Any]] = [("verdict", verdict.verdict.value), ("sentence", verdict.sentence)]
    for name in ("value", "reference", "n"):
        figure = getattr(verdict, name)
        if figure is not None:
            found.append((name, figure))
    found += list(verdict.bound.items())
    found += [(name, True) for name in ("unaccepted", "improved") if getattr(verdict, name)]
    for entry in verdict.expected:
        found += [("expected_by", entry.owner), ("expected_until", entry.until.isoformat())]
    if verdict.interval is not None:
        found += [
            (f"{verdict.interval.of}_{edge}", getattr(verdict.interval, edge))
            for edge in ("estimate", "lower", "upper")
        ]
    return found
