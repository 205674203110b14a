"""Where items are run: one process's pipeline, each case run once and shared by its items."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from harness.baselines import standing_of
from harness.gate.collection import Key, SpecItem
from harness.gate.naming import names
from harness.gate.outcome import ItemOutcome
from harness.judge.acceptance import Candidate
from harness.judge.baseline import Accepted, accept
from harness.judge.case import verdict
from harness.judge.expected import apply_expected_failures
from harness.judge.standing import Standing
from harness.judge.verdict import State, Verdict
from harness.measurement import Measurement
from harness.report.document import record
from harness.report.progress import Progress
from harness.report.tables import outcomes
from harness.retake import retaken
from harness.run.cache import Cache, default_folder
from harness.run.environment import environment
from harness.run.executor import LocalExecutor
from harness.run.job import Failure
from harness.run.pipeline import Pipeline, Run
from harness.run.result import Result
from harness.spec.expectation import EVIDENCE
from harness.spec.files import with_case

# Of the log that a failure leaves, so much is shown with it; the report has more.
LOG_LINES = 6
INTERRUPTED = "the run of the case was ended before it had figures"
# Seconds of waiting for the machine past which the end of a run says so.
LONG_S = 2.0


@dataclass
class _Case:
    """A case whose items come up.

    Attributes:
        run: what all of them are judged from.
        retakes: what was taken again.
        outcomes: label → what its item left; an item that is run once more is not judged once more.
        name: tells it from what another process made of the same case.
    """

    run: Run
    retakes: tuple[str, ...] = ()
    outcomes: dict[str, ItemOutcome] = field(default_factory=dict)
    name: str = field(default_factory=lambda: uuid4().hex)


class CaseRunner:
    """Runs each case once, when its first item comes up, and judges every item from that one result.

    Args:
        config: of the run.
        progress: shows what a case is at.
        selected: the labels of each case that this run is to judge.
        skipped: those of them that are to be skipped; nothing is measured for them.
    """

    def __init__(
        self, config: pytest.Config, progress: Progress, selected: Mapping[Key, Sequence[str]],
        skipped: Collection[tuple[Key, str]] = (),
    ) -> None:  # fmt: skip
        self._updating = bool(config.getoption("update_baselines"))
        self._strict = config.getoption("tier") == "release"
        # A release measures everything it lets out; an asked-for fresh run neither takes nor leaves anything.
        fresh = config.getoption("no_cache") or self._strict
        self._pipeline = Pipeline(LocalExecutor(), None if fresh else Cache(default_folder()))
        self._reporting = config.getoption("weighin_report") is not None
        self._progress = progress
        self._selected, self._skipped = selected, skipped
        self._cases: dict[Key, _Case] = {}

    def judge(self, item: SpecItem) -> ItemOutcome:
        """The verdict of an item; runs its case where no item of it ran yet."""
        case = self._case(item)
        if item.label in case.outcomes:
            return case.outcomes[item.label]
        run, first = case.run, not case.outcomes
        standing = standing_of(item.file, item.case, run.result.kernels, updating=self._updating)
        judged = verdict(item.case.spec, run.result, item.label, standing)
        row = apply_expected_failures(
            judged, item.case.spec, datetime.now(UTC).date(), release=self._strict, updating=self._updating
        )
        kept = outcomes(run.result) if first and self._reporting else None
        outcome = ItemOutcome(
            verdict=row,
            nodeid=item.nodeid,
            run=case.name,
            record=record(run.result, kept) if first else None,
            samples=kept,
            candidate=self._candidate(item, run, standing, row) if self._updating else None,
            root=str(item.file.root),
            path=str(item.home),
            id=item.file.id,
            project=names(item.config).project(item.file.root),
            known=tuple(item.case.spec.budgets),
            cases=tuple(case.name for case in item.file.cases),
            selected=tuple(self._selected.get(item.key, ())),
            message=_message(run, row, next(iter(case.outcomes), "")),
            notes=(*(_spent(case, row) if first else ()), *self._loaded(item, run, row)),
        )
        # What was handed on already is not kept a second time.
        case.outcomes[item.label] = outcome.model_copy(update={"record": None, "samples": None, "notes": ()})
        return outcome

    def run_of(self, item: SpecItem) -> Run | None:
        """The run of an item's case; None where there was none."""
        case = self._cases.get(item.key)
        return case.run if case is not None else None

    def close(self) -> None:
        """End the workers."""
        self._pipeline.close()

    def _case(self, item: SpecItem) -> _Case:
        if item.key in self._cases:
            return self._cases[item.key]
        # Stands where something ends the run of the case that is no error of it, such as a time limit on tests.
        self._cases[item.key] = _Case(self._failed(item, Failure(sentence=INTERRUPTED, kind="ended")))
        asked = dict.fromkeys(self._selected.get(item.key, [item.label]))
        labels = [label for label in asked if label != EVIDENCE and (item.key, label) not in self._skipped]
        with self._progress.on(with_case(item.called, item.case.name)) as watch:
            try:
                run, retakes = retaken(
                    self._pipeline.run(item.file, item.case, labels, watch),
                    labels,
                    lambda run, label: self._judged(item, run, label),
                    lambda again, least_s: self._pipeline.run(item.file, item.case, again, watch, least_s),
                    item.case.spec.measure,
                    watch,
                )
            except Exception as error:
                sentence = f"the case could not be run: {type(error).__name__}: {error}"
                failure = Failure(sentence=sentence, log=traceback.format_exc(), kind="raised")
                run, retakes = self._failed(item, failure), ()
        run = Run(run.result.model_copy(update={"spec": item.called}), run.artifact)
        case = self._cases[item.key] = _Case(run, retakes)
        return case

    def _failed(self, item: SpecItem, failure: Failure) -> Run:
        spec = item.case.spec
        steps = tuple(step.method for step in spec.compress)
        return Run(
            Result(
                spec=item.called, case=item.case.name, title=spec.title, task=spec.task, steps=steps,
                environment=environment(), failure=failure,
            ),
            None,
        )  # fmt: skip

    def _judged(self, item: SpecItem, run: Run, label: str) -> Verdict:
        standing = standing_of(item.file, item.case, run.result.kernels, updating=self._updating)
        return verdict(item.case.spec, run.result, label, standing)

    def _candidate(self, item: SpecItem, run: Run, standing: Standing, row: Verdict) -> Candidate | None:
        if row.verdict is not State.PASS:
            return None
        portable: dict[str, Accepted] = {}
        machine: dict[str, Accepted] = {}
        measured = run.result.measurements.get(item.label)
        if measured is not None and not _busy(measured):
            spec = item.case.spec
            metric = spec.budgets[item.label]
            kept = machine if metric.machine else portable
            kept[item.label] = accept(
                metric, measured, run.result.kernels, spec.measure.confidence, run.result.float_model
            )
        evidence = run.result.compressed
        return Candidate(
            portable=portable,
            machine=machine,
            fingerprint=standing.fingerprint,
            environment=environment().model_dump(mode="json"),
            threads=item.case.spec.measure.threads,
            evidence={"operators": evidence.operators, "dtypes": evidence.dtypes, "sparsity": evidence.sparsity}
            if evidence is not None
            else {},
        )

    def _loaded(self, item: SpecItem, run: Run, row: Verdict) -> tuple[str, ...]:
        """What was measured beside other work is no yardstick for later runs."""
        measured = run.result.measurements.get(item.label)
        if not self._updating or row.verdict is not State.PASS or not _busy(measured):
            return ()
        assert measured is not None
        return (
            f"baseline of {row.name}: {item.label} left out, for others took {measured.others():.0%} of the "
            "processor while it was measured; accept it on a quieter machine",
        )


def _spent(case: _Case, row: Verdict) -> tuple[str, ...]:
    """Where a case's time went beside its work: what was waited for, and what was taken again."""
    return (*_waited(case.run, row), *(f"{row.name}: {note}" for note in case.retakes))


def _waited(run: Run, row: Verdict) -> tuple[str, ...]:
    """A run under xdist, or one on a plain log, has had no line that says so while it waited."""
    seconds = run.result.waited
    return (f"{row.name} waited {seconds:.0f} s for other measurements of this machine",) if seconds >= LONG_S else ()


def _busy(measured: Measurement | None) -> bool:
    return measured is not None and measured.beside_others()


def _message(run: Run, row: Verdict, first: str) -> str:
    """What a row prints where its sentence is not it: why nothing was measured is told once, by the `first` label."""
    failure = run.result.failure
    if failure is None:
        return ""
    if first:
        return f"{row.label}: as {first} → {row.verdict}"
    # Of a failure that was not foreseen it is worth reading what was written last.
    if not failure.log or failure.kind == "foreseen":
        return ""
    tail = [f"    {line}" for line in failure.log.splitlines()[-LOG_LINES:]]
    return "\n".join([row.sentence, "  the end of the log:", *tail])
