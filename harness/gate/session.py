"""The run as one process sees it whole: the rows of every item, of all xdist workers too, gathered and written once."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from harness import __version__, baselines
from harness.errors import BaselineError
from harness.gate import destinations, naming
from harness.gate.collection import GateItem
from harness.gate.export import withdraw
from harness.gate.outcome import EXIT_BROKEN, Left, exit_status
from harness.gate.runner import told, undrawn, unexported
from harness.judge.acceptance import Candidate, accepted
from harness.judge.baseline import Baseline
from harness.judge.place import HOW_TO_ACCEPT
from harness.judge.verdict import State, Verdict
from harness.report import document, html, summary, tables
from harness.report.document import CaseRecord, Report
from harness.report.terminal import name_of, write_table
from harness.spec.load import SUFFIXES, id_of, root_of

Result = TypeVar("Result")


class GateSession:
    """Gathers what items leave, and at the end writes baselines and reports and decides the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._left: list[Left] = []
        self._strict = config.getoption("tier") == "release"
        self._notes: list[str] = []
        self._other_failures = 0
        self._crashed: list[Left] = []
        self._failed = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse to start where the end of the run could not write."""
        destinations.check_kept(self._config, (item.path for item in session.items if isinstance(item, GateItem)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn what the specs of this run are, as none is collected in this process."""
        named = {self._config.rootpath / name.partition("::")[0] for name in ids}
        paths = [path for path in named if path.suffix in SUFFIXES]
        naming.learn(self._config, paths)
        destinations.check_kept(self._config, paths)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what an item left on its report; count failures that are not ours."""
        left = getattr(report, "weighin", None)
        if left:
            self._left.append(Left.model_validate(left))
        elif left is None and report.failed:
            crashed = _crashed(report, self._config)
            if crashed is None:
                self._other_failures += 1
            else:
                self._crashed.append(crashed)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write everything, once, and set the exit code."""
        self._left += self._lost()
        if not self._left:
            return
        # Under xdist the cases of several workers come in mixed; a spec's own rows come in order.
        cases = list(dict.fromkeys(left.verdict.case for left in self._left))
        self._left.sort(key=lambda left: (left.root, left.verdict.spec, cases.index(left.verdict.case)))
        roots = sorted({Path(left.root) for left in self._left})
        if self._config.getoption("update_baselines"):
            self._update()
        below = naming.names(self._config).below
        orphaned = [below(root, name) for root in roots for name in baselines.orphans(root, _specs(root))]
        report = Report(
            weighin=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            rows=tuple(left.verdict for left in self._left),
            cases=self._records(),
            orphaned_baselines=tuple(orphaned),
        )
        self._notes += [note for left in self._left for note in left.notes]
        self._notes += self._exports()
        if any(left.verdict.unaccepted for left in self._left):
            self._notes.append(
                f"budgets that hold and have no baseline: look at them, then accept with {HOW_TO_ACCEPT}"
            )
        self._notes += self._tighter()
        if orphaned:
            self._notes.append(f"baselines with no spec: {', '.join(orphaned)}; remove them, or restore their YAML")
        self._write(report)
        states = {left.verdict.verdict for left in (*self._left, *self._crashed)}
        status = exit_status(states, self._strict)
        if status is None and (self._failed or any(left.failed for left in self._left)):
            status = EXIT_BROKEN
        if status is not None and not self._other_failures and session.exitstatus in (0, 1):
            session.exitstatus = status

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the verdict table."""
        if self._left:
            write_table(terminalreporter, [left.verdict for left in self._left], self._notes)

    def _tighter(self) -> list[str]:
        """The baselines that this run has left behind, and the command that takes along those labels alone."""
        improved = [left for left in self._left if left.verdict.improved]
        cases: dict[str, list[str]] = defaultdict(list)
        for left in improved:
            cases[name_of(left.verdict)].append(left.verdict.label)
        if not improved:
            return []
        items = " ".join(shlex.quote(self._from_here(left.nodeid)) for left in improved)
        which = "; ".join(f"{name}: {', '.join(labels)}" for name, labels in cases.items())
        return [
            f"better than the baseline: {which}",
            f"  to hold what was gained: pytest {items} {HOW_TO_ACCEPT}",
        ]

    def _from_here(self, nodeid: str) -> str:
        path, *names = nodeid.split("::")
        return "::".join((os.path.relpath(self._config.rootpath / path, self._config.invocation_params.dir), *names))

    def _lost(self) -> list[Left]:
        """What xdist workers died of and no other worker ran again; what was run again is told in a note."""
        judged = {_key(left) for left in self._left}
        lost = {_key(left): left for left in self._crashed if _key(left) not in judged}
        self._notes += [
            f"run again: {name_of(left.verdict)}::{left.verdict.label}, while which an xdist worker died"
            for left in self._crashed
            if _key(left) in judged
        ]
        return [self._withdrawn(left) for left in lost.values()]

    def _withdrawn(self, left: Left) -> Left:
        """What a worker died of is not left to be shipped; it may have died before it could see to that."""
        folder, row = self._config.getoption("export"), left.verdict
        try:
            gone = withdraw(folder, row.spec, row.case) if folder is not None else None
        except OSError as error:
            return left.model_copy(update={"notes": (undrawn(row.spec, error),), "failed": True})
        return left.model_copy(update={"withdrawn": str(gone)}) if gone is not None else left

    def _exports(self) -> list[str]:
        """What became of the export of each case; nothing of one that no process judged whole was let out."""
        if self._config.getoption("export") is None:
            return []
        cases: dict[tuple[str, str], list[Left]] = defaultdict(list)
        for left in self._left:
            cases[left.path, left.verdict.case].append(left)
        found = []
        for items in cases.values():
            earlier = next((left.withdrawn for left in items if left.withdrawn), "")
            word = next((left.exported for left in items if left.exported), "")
            found.append(word or unexported(name_of(items[0].verdict), "it was not judged whole", earlier))
        return found

    def _records(self) -> tuple[CaseRecord, ...]:
        records = {(left.record.spec, left.record.case): left.record for left in self._left if left.record is not None}
        return tuple(records.values())

    def _write(self, report: Report) -> None:
        folder: Path | None = self._config.getoption("weighin_report")
        if folder is not None:
            outcomes = [left.outcomes for left in self._left if left.outcomes is not None]
            written = self._written(f"{folder / 'report.json'}", lambda: document.write(report, folder))
            self._written(f"tables of {folder}", lambda: tables.write(outcomes, folder))
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
        by_case: dict[tuple[str, str, str, str], list[Left]] = defaultdict(list)
        for left in self._left:
            by_case[left.root, left.id, left.path, left.verdict.case].append(left)
        commits = {root: _commit(Path(root)) for root in {left.root for left in self._left}}
        reason = str(self._config.getoption("reason")).strip()
        updated: dict[Path, dict[str, Baseline]] = defaultdict(dict)
        for (root, spec, _, case), items in sorted(by_case.items()):
            name = name_of(items[0].verdict)
            try:
                old = updated[Path(root)].get(spec) or baselines.read(Path(root), spec)
            except BaselineError as error:
                self._notes.append(str(error))
                continue
            broken = [left.verdict for left in items if left.verdict.verdict is not State.PASS]
            if broken:
                self._notes.append(f"baseline of {name}: nothing accepted, for {told(broken)}")
                continue
            known = set(items[0].known)
            candidate = _joined([left.candidate for left in items if left.candidate is not None])
            if not candidate.portable and not candidate.machine:
                continue
            new = accepted(
                old, spec, case, candidate, known, reason, commits[root], set(items[0].cases),
                today=datetime.now(UTC).date(),
            )  # fmt: skip
            if old is not None and new.model_dump(mode="json") == old.model_dump(mode="json"):
                self._notes.append(f"baseline of {name}: nothing changed")
            else:
                updated[Path(root)][spec] = new
        below = naming.names(self._config).below
        for folder in sorted(updated):
            what = f"baselines below {folder}, each of which is whole, the old one or the new one"
            for path in self._written(what, partial(baselines.write_all, folder, updated[folder])) or ():
                self._notes.append(f"baseline accepted: {below(folder, path.relative_to(folder).as_posix())}")


def _key(left: Left) -> tuple[str, str, str]:
    return left.path, left.verdict.case, left.verdict.label


def _crashed(report: pytest.TestReport, config: pytest.Config) -> Left | None:
    """The row of an item whose xdist worker died on it; None where the report is of something else."""
    name, _, item = report.nodeid.partition("::")
    path = config.rootpath / name
    if report.when in ("setup", "call", "teardown") or path.suffix not in SUFFIXES or not item:
        return None
    label, _, case = item.removesuffix("]").partition("[")
    root = root_of(path)
    row = Verdict(
        spec=naming.names(config).of(path), case=case, label=label, metric=label, verdict=State.INVALID,
        sentence=f"{label}: the xdist worker that ran it died, and nothing is known of it → {State.INVALID}",
    )  # fmt: skip
    return Left(verdict=row, nodeid=report.nodeid, root=str(root), path=str(path.resolve()), id=id_of(path, root))


def _joined(candidates: list[Candidate]) -> Candidate:
    portable = {label: entry for one in candidates for label, entry in one.portable.items()}
    machine = {label: entry for one in candidates for label, entry in one.machine.items()}
    return Candidate(
        portable,
        machine,
        candidates[0].fingerprint,
        candidates[0].environment,
        candidates[0].threads,
        candidates[0].evidence,
    )


def _specs(root: Path) -> set[str]:
    """The ids of all specs under a root, whether this run selected them or not."""
    return {id_of(path, root) for path in (root / "specs").rglob("*") if path.suffix in SUFFIXES}


def _commit(root: Path) -> str:
    """What is checked out; empty outside a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
