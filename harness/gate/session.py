"""The run as one process sees it whole: the rows of every item, of all xdist workers too, gathered and written once."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from harness import __version__, baselines
from harness.gate import acceptance, destinations, naming, selection
from harness.gate.collection import GateItem
from harness.gate.outcome import DIED, EXIT_BROKEN, CaseOutcome, ItemKey, ItemOutcome, ItemReport, exit_status
from harness.gate.shipping import unexported, withdrawn
from harness.judge.place import HOW_TO_ACCEPT
from harness.judge.verdict import State, Verdict
from harness.report import document, html, summary, tables
from harness.report.document import CaseRecord, Report, merged
from harness.report.tables import Outcomes
from harness.report.terminal import write_table
from harness.spec.files import SUFFIXES, files_below, home_of, id_of, root_of

Result = TypeVar("Result")


class GateSession:
    """Gathers what items leave, and at the end writes baselines and reports and decides the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._outcomes: dict[ItemKey, ItemOutcome] = {}
        self._judged: dict[str, ItemKey] = {}
        self._runs: dict[str, tuple[CaseRecord, Outcomes | None]] = {}
        self._strict = config.getoption("tier") == "release"
        self._notes: list[str] = []
        self._other_failures = 0
        self._spoiled: dict[ItemKey, str] = {}
        self._cases: dict[tuple[str, str], CaseOutcome] = {}
        # What xdist workers died on: what nobody has judged since, and what another one judged again.
        self._deaths: dict[ItemKey, ItemOutcome] = {}
        self._again: list[ItemOutcome] = []
        # What the spec of an item is called by the process that judges it; one that xdist gathers for collects nothing.
        self._called: dict[str, str] = {}
        self._failed = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse to start where the end of the run could not write."""
        destinations.check_kept(self._config, (item.path for item in session.items if isinstance(item, GateItem)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn which specs were selected, as none is collected in this process."""
        selection.keep_together(self._config, ids)
        named = {self._config.rootpath / name.partition("::")[0] for name in ids}
        paths = [path for path in named if path.suffix in SUFFIXES]
        naming.learn(self._config, paths)
        destinations.check_kept(self._config, paths)

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Keep what the spec of an item is called, should its xdist worker die on it; see `GateItem.reportinfo`."""
        self._called[nodeid] = location[2].rpartition("::")[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what an item left on its reports; count failures that are no verdicts."""
        left = ItemReport.model_validate(getattr(report, "weighin", {}))
        if left.outcome is not None:
            self._keep(report.nodeid, left.outcome)
        if left.case is not None:
            self._cases[left.case.path, left.case.case] = left.case
        if left.spoiled:
            if (key := self._judged.get(report.nodeid)) is not None:
                self._spoiled[key] = str(report.when)
            self._other_failures += 1
        elif report.failed and not hasattr(report, "weighin"):
            crashed = _crashed(report, self._config, self._called.get(report.nodeid, ""))
            if crashed is None:
                self._other_failures += 1
            else:
                self._deaths[self._judged.get(report.nodeid, crashed.key)] = crashed

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write everything, once, and set the exit code."""
        died = bool(self._deaths or self._again)
        self._settle_deaths()
        if not self._outcomes:
            return
        # Under xdist the cases of several workers come in mixed; a spec's own rows come in order.
        cases = list(dict.fromkeys(outcome.verdict.case for outcome in self._outcomes.values()))
        outcomes = sorted(
            self._outcomes.values(), key=lambda one: (one.root, one.verdict.spec, cases.index(one.verdict.case))
        )
        self._outcomes = {outcome.key: outcome for outcome in outcomes}
        if self._config.getoption("update_baselines"):
            self._update()
        orphaned = self._orphaned()
        records, samples = self._kept()
        report = Report(
            weighin=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            rows=tuple(outcome.verdict for outcome in outcomes),
            cases=tuple(records),
            orphaned_baselines=tuple(orphaned),
        )
        self._notes += [note for outcome in outcomes for note in outcome.notes]
        self._notes += self._exports()
        if any(outcome.verdict.unaccepted for outcome in outcomes):
            self._notes.append(
                f"budgets that hold and have no baseline: look at them, then accept with {HOW_TO_ACCEPT}"
            )
        self._notes += self._tighter()
        if orphaned:
            self._notes.append(
                f"baselines with no spec below specs/: {', '.join(orphaned)}; restore their YAML or, where no spec "
                "elsewhere has them, remove them"
            )
        self._write(report, samples)
        states = {outcome.verdict.verdict for outcome in outcomes} | ({State.INVALID} if died else set())
        status = exit_status(states, self._strict)
        if status is None and self._unfulfilled():
            status = EXIT_BROKEN
        if status is not None and not self._other_failures and session.exitstatus in (0, 1):
            session.exitstatus = status

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the verdict table."""
        if self._outcomes:
            write_table(terminalreporter, [outcome.verdict for outcome in self._outcomes.values()], self._notes)

    def _unfulfilled(self) -> bool:
        """Whether something that was asked for could not be written or removed."""
        failed = (*(one.failed for one in self._outcomes.values()), *(one.failed for one in self._cases.values()))
        return self._failed or any(failed)

    def _tighter(self) -> list[str]:
        """The baselines that this run has left behind, and the command that takes along those labels alone."""
        improved = [outcome for outcome in self._outcomes.values() if outcome.verdict.improved]
        cases: dict[str, list[str]] = defaultdict(list)
        for outcome in improved:
            cases[outcome.verdict.name].append(outcome.verdict.label)
        if not improved:
            return []
        items = " ".join(shlex.quote(self._from_here(outcome.nodeid)) for outcome in improved)
        which = "; ".join(f"{name}: {', '.join(labels)}" for name, labels in cases.items())
        return [
            f"better than the baseline: {which}",
            f"  to hold what was gained: pytest {items} {HOW_TO_ACCEPT}",
        ]

    def _from_here(self, nodeid: str) -> str:
        path, *names = nodeid.split("::")
        return "::".join((os.path.relpath(self._config.rootpath / path, self._config.invocation_params.dir), *names))

    def _keep(self, nodeid: str, outcome: ItemOutcome) -> None:
        """Keep what an item left in the place of what it left before: it has one row, however often it is run."""
        key = self._judged[nodeid] = outcome.key
        if outcome.record is not None:
            self._runs[outcome.run] = outcome.record, outcome.samples
        if key in self._deaths:
            self._again.append(self._deaths.pop(key))
        earlier = self._outcomes.get(key)
        self._outcomes[key] = outcome if earlier is None else outcome.replacing(earlier)

    def _settle_deaths(self) -> None:
        """What xdist workers died of: a row of its own where nothing was judged, else a bar to its case, or a note."""
        self._notes += [
            f"run again: {outcome.verdict.name}::{outcome.verdict.label}, after its xdist worker died"
            for outcome in self._again
        ]
        for key, outcome in self._deaths.items():
            if key not in self._outcomes:
                # It may have died before it could see to an earlier export.
                self._outcomes[key] = withdrawn(outcome, self._config.getoption("export"))
                continue
            self._spoiled[key] = DIED
            row = self._outcomes[key].verdict
            self._notes.append(
                f"not run again: {row.name}::{row.label}, whose xdist worker died after the verdict: it stays "
                f"{row.verdict}, and nothing of its case is accepted"
            )

    def _orphaned(self) -> list[str]:
        """Baselines that no spec stands behind: none below `specs/`, and none from elsewhere that this run judged."""
        known: dict[Path, set[str]] = defaultdict(set)
        for outcome in self._outcomes.values():
            known[Path(outcome.root)].add(outcome.id)
        return [
            self._below(root, name)
            for root, judged in sorted(known.items())
            for name in baselines.orphans(root, judged | _specs(root))
        ]

    def _below(self, root: Path, name: str) -> str:
        """What something of a project is called by those who have judged its specs."""
        # The row of what a worker died on was made here, where no more is known than what was selected.
        project = max(one.project for one in self._outcomes.values() if Path(one.root) == root)
        return naming.within(project, name)

    def _exports(self) -> list[str]:
        """What became of the export of each case; nothing of one that no process judged whole was let out."""
        if self._config.getoption("export") is None:
            return []
        cases: dict[tuple[str, str], list[ItemOutcome]] = defaultdict(list)
        for outcome in self._outcomes.values():
            cases[outcome.path, outcome.verdict.case].append(outcome)
        found = []
        for key, items in cases.items():
            if key in self._cases:
                found.append(self._cases[key].exported)
            else:
                earlier = next((outcome.withdrawn for outcome in items if outcome.withdrawn), "")
                found.append(unexported(items[0].verdict.name, "it was not judged whole", earlier))
        return found

    def _kept(self) -> tuple[list[CaseRecord], list[Outcomes]]:
        """What stands behind the rows of each case, and its samples: of each run of it what was judged from it."""
        cases: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
        for outcome in self._outcomes.values():
            if outcome.run in self._runs:
                case = cases[outcome.path, outcome.verdict.case]
                # What is of a whole run is the last one's, which has judged the evidence.
                case[outcome.run] = [*case.pop(outcome.run, ()), outcome.verdict.label]
        records = [merged([(self._runs[run][0], labels) for run, labels in runs.items()]) for runs in cases.values()]
        samples = [
            one if len(runs) == 1 else one.of(labels)
            for runs in cases.values()
            for run, labels in runs.items()
            if (one := self._runs[run][1]) is not None
        ]
        return records, samples

    def _write(self, report: Report, samples: Sequence[Outcomes]) -> None:
        folder: Path | None = self._config.getoption("weighin_report")
        if folder is not None:
            written = self._written(f"{folder / 'report.json'}", lambda: document.write(report, folder))
            self._written(f"tables of {folder}", lambda: tables.write(samples, folder))
            page = self._written(f"{folder / 'report.html'}", lambda: html.write(report, folder))
            if page or written:
                self._notes.append(f"report: {page or written}")
            if not html.available():
                self._notes.append("no HTML page, which needs jinja2: pip install 'weighin[report]'")
        self._written("the job summary", lambda: summary.append(report))

    def _written(self, what: str, write: Callable[[], Result]) -> Result | None:
        """What one part of the end of a run wrote; where it cannot, the run fails, and its verdicts are still told."""
        try:
            return write()
        except Exception as error:
            why = error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._notes.append(f"could not be written: {what}: {why}")
            self._failed = True
            return None

    def _update(self) -> None:
        """Accept every case whose budgets all hold; of another case nothing."""
        reason = str(self._config.getoption("reason")).strip()
        for folder in sorted({Path(outcome.root) for outcome in self._outcomes.values()}):
            what = f"baselines below {folder}, each of which is whole, the old one or the new one"
            for path in self._written(what, partial(self._accept, folder, reason)) or ():
                self._notes.append(f"baseline accepted: {self._below(folder, path.relative_to(folder).as_posix())}")

    def _accept(self, root: Path, reason: str) -> list[Path]:
        """Accept the cases of one project; what another run of it accepts at the same time is kept."""
        own = [outcome for outcome in self._outcomes.values() if Path(outcome.root) == root]
        with baselines.updating(root):
            updated, notes = acceptance.accept_cases(root, own, self._spoiled, reason)
            self._notes += notes
            return baselines.write_all(root, updated)


def _crashed(report: pytest.TestReport, config: pytest.Config, called: str) -> ItemOutcome | None:
    """The row of an item whose xdist worker died on it; None where the report is of something else.

    Args:
        report: of the death.
        config: of the run.
        called: what the worker calls the spec; empty where it died before it came to the item.
    """
    name, _, item = report.nodeid.partition("::")
    path = config.rootpath / name
    if report.when in ("setup", "call", "teardown") or path.suffix not in SUFFIXES or not item:
        return None
    label, _, case = item.removesuffix("]").partition("[")
    root = root_of(path)
    row = Verdict(
        spec=called or naming.names(config).of(path), case=case, label=label, metric=label, verdict=State.INVALID,
        sentence=f"{label}: the xdist worker that ran it died, and nothing is known of it → {State.INVALID}",
    )  # fmt: skip
    return ItemOutcome(
        verdict=row, nodeid=report.nodeid, root=str(root), path=str(home_of(path)), id=id_of(path, root),
        project=naming.names(config).project(root),
    )  # fmt: skip


def _specs(root: Path) -> set[str]:
    """The ids of all specs under a root, whether this run selected them or not."""
    return {id_of(path, root) for path in files_below(root / "specs") if path.suffix in SUFFIXES}
