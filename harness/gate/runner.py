"""Where items are run: one process's pipeline, each case run once and shared by its items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import BaselineError
from harness.gate.collection import SpecItem
from harness.gate.export import export
from harness.gate.outcome import Left
from harness.judge import baseline as baselines
from harness.judge.acceptance import Candidate
from harness.judge.baseline import Accepted
from harness.judge.case import EVIDENCE, Standing, verdict
from harness.judge.verdict import State, Verdict
from harness.report.document import record
from harness.report.progress import Progress
from harness.run.cache import Cache, default_folder
from harness.run.environment import environment
from harness.run.executor import LocalExecutor
from harness.run.pipeline import Pipeline, Run

Key = tuple[str, str]


class CaseRunner:
    """Runs each case when its first item comes up, and judges every item from that one result."""

    def __init__(self, config: pytest.Config, progress: Progress) -> None:
        self._updating = bool(config.getoption("update_baselines"))
        self._strict = config.getoption("tier") == "release"
        # A release measures everything it lets out; an asked-for fresh run neither takes nor leaves anything.
        fresh = config.getoption("no_cache") or self._strict
        self._pipeline = Pipeline(LocalExecutor(), None if fresh else Cache(default_folder()))
        self._export: Path | None = config.getoption("export")
        self._progress = progress
        self._selected: Mapping[Key, list[str]] = {}
        self._run: tuple[Key, Run] | None = None
        self._seen: dict[Key, list[Verdict]] = {}
        self._recorded: set[Key] = set()

    def select(self, items: list[pytest.Item]) -> None:
        """Learn which budgets of each case this run asks for: only those are measured."""
        selected: dict[Key, list[str]] = {}
        for item in items:
            if isinstance(item, SpecItem):
                selected.setdefault(item.key, []).append(item.label)
        self._selected = selected

    def judge(self, item: SpecItem) -> Left:
        """The verdict of an item; runs its case where no item of it ran yet."""
        run, key = self._case(item), item.key
        standing = self._standing(item, run)
        row = verdict(item.case.spec, run.result, item.label, standing)
        self._seen.setdefault(key, []).append(row)
        first = key not in self._recorded
        self._recorded.add(key)
        left = Left(
            verdict=row,
            record=record(run.result) if first else None,
            candidate=self._candidate(item, run, standing, row) if self._updating else None,
            root=str(item.file.root),
            known=tuple(item.case.spec.budgets),
        )
        self._finish(item, run)
        return left

    def close(self) -> None:
        """End the workers."""
        self._pipeline.close()

    def _case(self, item: SpecItem) -> Run:
        if self._run is None or self._run[0] != item.key:
            labels = [label for label in self._selected.get(item.key, [item.label]) if label != EVIDENCE]
            name = f"{item.file.id}[{item.case.name}]" if item.case.name else item.file.id
            with self._progress.on(name) as watch:
                self._run = (item.key, self._pipeline.run(item.file, item.case, labels, watch))
        return self._run[1]

    def _standing(self, item: SpecItem, run: Run) -> Standing:
        fingerprint = environment().fingerprint(item.case.spec.measure.threads, run.result.kernels)
        try:
            stored = baselines.read(item.file.root, item.file.id)
        except BaselineError as error:
            return Standing(None, fingerprint, updating=False, problem=str(error))
        case = stored.cases.get(item.case.name) if stored is not None else None
        return Standing(case, fingerprint, updating=self._updating)

    def _candidate(self, item: SpecItem, run: Run, standing: Standing, row: Verdict) -> Candidate | None:
        if row.verdict is not State.PASS:
            return None
        portable: dict[str, Accepted] = {}
        machine: dict[str, Accepted] = {}
        measured = run.result.measurements.get(item.label)
        if measured is not None:
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

    def _finish(self, item: SpecItem, run: Run) -> None:
        """Export a case once all its items were judged and all are green."""
        rows, labels = self._seen[item.key], set(item.case.spec.budgets) | {EVIDENCE}
        if self._export is None or run.artifact is None or {row.label for row in rows} != labels:
            return
        if all(row.verdict is State.PASS for row in rows):
            export(self._export, item.file, item.case, run, rows)
