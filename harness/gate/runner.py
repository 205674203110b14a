"""Where items are run: one process's pipeline, each case run once and shared by its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import ArtifactError
from harness.gate.collection import SpecItem
from harness.gate.export import export, withdraw
from harness.gate.naming import names
from harness.gate.outcome import ItemOutcome
from harness.gate.retake import retaken
from harness.judge import baseline as baselines
from harness.judge.acceptance import Candidate
from harness.judge.baseline import Accepted
from harness.judge.case import EVIDENCE, verdict
from harness.judge.expected import apply_expected_failures
from harness.judge.standing import Standing, standing_of
from harness.judge.verdict import State, Verdict
from harness.measurement import Measurement, Timings
from harness.measurement.doubts import LOAD_NOTICED
from harness.report.document import record
from harness.report.progress import Progress
from harness.report.tables import outcomes
from harness.run.cache import Cache, default_folder
from harness.run.environment import environment
from harness.run.executor import LocalExecutor
from harness.run.pipeline import Pipeline, Run
from harness.spec.files import with_case

Key = tuple[Path, str]
# Of the log that a failed worker leaves, so much is shown at the failure; the report has more.
LOG_LINES = 6
# Seconds of waiting for the machine past which the end of a run says so.
LONG_S = 2.0


class CaseRunner:
    """Runs each case when its first item comes up, and judges every item from that one result."""

    def __init__(self, config: pytest.Config, progress: Progress) -> None:
        self._updating = bool(config.getoption("update_baselines"))
        self._strict = config.getoption("tier") == "release"
        # A release measures everything it lets out; an asked-for fresh run neither takes nor leaves anything.
        fresh = config.getoption("no_cache") or self._strict
        self._pipeline = Pipeline(LocalExecutor(), None if fresh else Cache(default_folder()))
        self._export: Path | None = config.getoption("export")
        self._reporting = config.getoption("weighin_report") is not None
        self._progress = progress
        self._names = names(config)
        self._selected: Mapping[Key, list[str]] = {}
        self._run: tuple[Key, Run] | None = None
        self._retakes: tuple[str, ...] = ()
        self._seen: dict[Key, list[Verdict]] = {}
        self._withdrawn: dict[Key, str] = {}
        self._faults: list[str] = []
        self._failed = False

    def select(self, items: list[pytest.Item]) -> None:
        """Learn which budgets of each case this run asks for: only those are measured."""
        selected: dict[Key, list[str]] = {}
        for item in items:
            if isinstance(item, SpecItem):
                selected.setdefault(item.key, []).append(item.label)
        self._selected = selected

    def judge(self, item: SpecItem) -> ItemOutcome:
        """The verdict of an item; runs its case where no item of it ran yet."""
        key, self._faults, self._failed = item.key, [], False
        first = key not in self._seen
        if first:
            # Before anything else: whatever ends this run, what it no longer knows to pass is not left to be shipped.
            self._withdrawn[key] = self._withdraw(item)
        run = self._case(item)
        standing = self._standing(item, run)
        judged = verdict(item.case.spec, run.result, item.label, standing)
        row = apply_expected_failures(judged, item.case.spec, datetime.now(UTC).date(), release=self._strict)
        self._seen.setdefault(key, []).append(row)
        kept = outcomes(run.result) if first and self._reporting else None
        exported = self._finish(item, run)
        return ItemOutcome(
            verdict=row,
            nodeid=item.nodeid,
            record=record(run.result, kept) if first else None,
            samples=kept,
            candidate=self._candidate(item, run, standing, row) if self._updating else None,
            root=str(item.file.root),
            path=str(item.home),
            id=item.file.id,
            known=tuple(item.case.spec.budgets),
            cases=tuple(case.name for case in item.file.cases),
            message=_message(run, self._seen[key]),
            notes=(*(self._spent(run, row) if first else ()), *self._loaded(item, run, row), *self._faults),
            withdrawn=self._withdrawn[key] if first else "",
            exported=exported,
            failed=self._failed,
        )

    def close(self) -> None:
        """End the workers."""
        self._pipeline.close()

    def _case(self, item: SpecItem) -> Run:
        if self._run is None or self._run[0] != item.key:
            asked = dict.fromkeys(self._selected.get(item.key, [item.label]))
            labels = [label for label in asked if label != EVIDENCE]
            spec = self._names.of(item.path)
            name = with_case(spec, item.case.name)
            with self._progress.on(name) as watch:
                run, self._retakes = retaken(
                    self._pipeline.run(item.file, item.case, labels, watch),
                    labels,
                    lambda run, label: self._judged(item, run, label),
                    lambda again: self._pipeline.run(item.file, item.case, again, watch),
                    watch,
                )
            self._run = (item.key, Run(run.result.model_copy(update={"spec": spec}), run.artifact))
        return self._run[1]

    def _judged(self, item: SpecItem, run: Run, label: str) -> Verdict:
        return verdict(item.case.spec, run.result, label, self._standing(item, run))

    def _standing(self, item: SpecItem, run: Run) -> Standing:
        return standing_of(item.file, item.case, run.result.kernels, updating=self._updating)

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
            kept[item.label] = baselines.accept(metric, measured, run.result.kernels, spec.measure.confidence)
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

    def _spent(self, run: Run, row: Verdict) -> tuple[str, ...]:
        """Where a case's time went beside its work: what was waited for, and what was taken again."""
        return (*_waited(run, row), *(f"{row.name}: {note}" for note in self._retakes))

    def _loaded(self, item: SpecItem, run: Run, row: Verdict) -> tuple[str, ...]:
        """What was measured beside other work is no yardstick for later runs."""
        measured = run.result.measurements.get(item.label)
        if not self._updating or row.verdict is not State.PASS or not _busy(measured):
            return ()
        assert isinstance(measured, Timings)
        return (
            f"baseline of {row.name}: {item.label} left out, for others took {measured.load:.0%} of the processor "
            "while it was measured; accept it on a quieter machine",
        )

    def _withdraw(self, item: SpecItem) -> str:
        """Remove an earlier export of a case, and say where it lay; empty where none did."""
        if self._export is None:
            return ""
        try:
            return str(withdraw(self._export, self._names.of(item.path), item.case.name) or "")
        except OSError as error:
            self._faults.append(withdrawal_failed(self._names.of(item.path), error))
            self._failed = True
            return ""

    def _finish(self, item: SpecItem, run: Run) -> str:
        """Once all selected items of a case were judged: export it where all of it is green, else say why not."""
        rows, labels = self._seen[item.key], set(item.case.spec.budgets) | {EVIDENCE}
        judged = {row.label for row in rows}
        if self._export is None or judged != set(self._selected.get(item.key, labels)):
            return ""
        name, earlier = rows[0].name, self._withdrawn[item.key]
        broken = [row for row in rows if row.verdict is not State.PASS]
        if broken or judged != labels or run.artifact is None:
            reason = labels_by_verdict(broken) if broken else f"only {', '.join(sorted(judged))} ran"
            return unexported(name, reason, earlier)
        try:
            return f"exported: {export(self._export, item.case, run, rows)}"
        except (OSError, ArtifactError) as error:
            self._failed = True
            return unexported(name, str(error), earlier)


def unexported(name: str, reason: str, earlier: str) -> str:
    """Why nothing of a case was exported, and what became of an earlier export."""
    removed = f"; the earlier export was removed from {earlier}" if earlier else ""
    return f"not exported: {name}, for {reason}{removed}"


def withdrawal_failed(name: str, error: OSError) -> str:
    """That an earlier export is still where it was, whatever came of its case."""
    return f"an earlier export of {name} could not be removed, and is not to be shipped: {error}"


def labels_by_verdict(rows: Sequence[Verdict]) -> str:
    """Labels by verdict, as a clause: ``size_mb, top1 FAIL``."""
    states = dict.fromkeys(row.verdict for row in rows)
    return "; ".join(f"{', '.join(row.label for row in rows if row.verdict is state)} {state}" for state in states)


def _waited(run: Run, row: Verdict) -> tuple[str, ...]:
    """A run under xdist, or one on a plain log, has had no line that says so while it waited."""
    seconds = run.result.waited
    return (f"{row.name} waited {seconds:.0f} s for other measurements of this machine",) if seconds >= LONG_S else ()


def _busy(measured: Measurement | None) -> bool:
    return isinstance(measured, Timings) and measured.load > LOAD_NOTICED


def _message(run: Run, rows: Sequence[Verdict]) -> str:
    """What the latest of a case's rows prints where its sentence is not it: why nothing was measured is told once."""
    failure, row = run.result.failure, rows[-1]
    if failure is None:
        return ""
    if len(rows) > 1:
        return f"{row.label}: as {rows[0].label} → {row.verdict}"
    # Of a failure that was not foreseen it is worth reading what was written last.
    if not failure.log or failure.kind == "foreseen":
        return ""
    tail = [f"    {line}" for line in failure.log.splitlines()[-LOG_LINES:]]
    return "\n".join([row.sentence, "  the end of the worker's log:", *tail])
