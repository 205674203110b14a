"""Which cases are let out: an earlier export goes when a run comes to its case, a new one comes after its last item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ArtifactError
from harness.gate.collection import BrokenSpec, Key, SpecItem
from harness.gate.export import export, withdraw, withdraw_others
from harness.gate.outcome import CaseOutcome, ItemOutcome, obstacle
from harness.judge.verdict import State, Verdict
from harness.run.pipeline import Run
from harness.spec.files import home_of, root_of, with_case


@dataclass
class _Case:
    """What is known of a case so far.

    Attributes:
        earlier: where an earlier export lay, which is removed; empty where there was none.
        problem: why it could not be removed.
        others: where exports lay of cases that the spec has no more, which are removed too.
        rows: label → verdict.
        spoiled: label → the phase in which its item failed beside its verdict.
        over: labels whose items are.
    """

    earlier: str = ""
    problem: str = ""
    others: tuple[Path, ...] = ()
    rows: dict[str, Verdict] = field(default_factory=dict)
    spoiled: dict[str, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)


class Shipping:
    """The exports of one process.

    Args:
        folder: where to; None exports nothing.
        selected: the labels of each case that this run is to judge.
    """

    def __init__(self, folder: Path | None, selected: Mapping[Key, Sequence[str]]) -> None:
        self._folder = folder
        self._selected = selected
        self._cases: dict[Key, _Case] = {}

    def open(self, item: SpecItem) -> None:
        """Remove an earlier export: however this run ends, what it does not know to pass is not left to be shipped."""
        if item.key in self._cases:
            return
        case = self._cases[item.key] = _Case()
        if self._folder is None:
            return
        try:
            known = [one.name for one in item.file.cases]
            case.others = tuple(withdraw_others(self._folder, item.file.root, item.called, known))
            case.earlier = str(withdraw(self._folder, item.file.root, item.called, item.case.name) or "")
        except OSError as error:
            case.problem = withdrawal_failed(item.called, error)

    def judged(self, item: SpecItem, outcome: ItemOutcome) -> ItemOutcome:
        """Take note of a verdict; on the first of a case, the outcome says what became of an earlier export."""
        self.open(item)
        case = self._cases[item.key]
        first, case.rows[item.label] = not case.rows, outcome.verdict
        if not first:
            return outcome
        gone = [f"the export of a case that {item.called} has no more was removed from {one}" for one in case.others]
        notes = (*outcome.notes, *gone, *([case.problem] if case.problem else []))
        changes = {"withdrawn": case.earlier, "notes": notes, "failed": outcome.failed or bool(case.problem)}
        return outcome.model_copy(update=changes)

    def spoil(self, item: SpecItem, phase: str) -> None:
        """Take note that an item failed beside its verdict."""
        self.open(item)
        self._cases[item.key].spoiled.setdefault(item.label, phase)

    def over(self, item: SpecItem) -> bool:
        """Take note that an item is over; returns whether it was the last one of its case."""
        case = self._cases.setdefault(item.key, _Case())
        case.over.add(item.label)
        return case.over >= set(self._selected.get(item.key, [item.label]))

    def ship(self, item: SpecItem, run: Run | None) -> CaseOutcome | None:
        """Export a case that is over, where all of it is green, or say why not; None where no export is asked for."""
        if self._folder is None:
            return None
        case, name = self._cases[item.key], with_case(item.called, item.case.name)
        rows, failed = list(case.rows.values()), False
        reason = obstacle(rows, self._selected.get(item.key, ()), case.spoiled)
        if not reason and (run is None or run.artifact is None or len(rows) < len(item.case.spec.budgets) + 1):
            reason = f"only {', '.join(sorted(case.rows))} ran"
        if not reason:
            assert run is not None
            try:
                word = f"exported: {export(self._folder, item.file.root, item.case, run, rows)}"
            except (OSError, ArtifactError) as error:
                reason, failed = str(error), True
            except Exception as error:
                reason, failed = f"{type(error).__name__}: {error}", True
        if reason:
            word = unexported(name, reason, case.earlier)
        return CaseOutcome(path=str(item.home), case=item.case.name, exported=word, failed=failed)

    def withhold(self, item: BrokenSpec) -> CaseOutcome | None:
        """Which cases a file had that cannot be read any more is not known: none of them is left to be shipped."""
        if self._folder is None:
            return None
        home, failed = home_of(item.path), False
        try:
            gone = [] if item.placeless else withdraw_others(self._folder, root_of(home), item.called)
            word = unexported(item.called, f"{item.name} {State.INVALID}", ", ".join(map(str, gone)))
        except OSError as error:
            word, failed = withdrawal_failed(item.called, error), True
        return CaseOutcome(path=str(home), case="", exported=word, failed=failed)


def withdrawn(outcome: ItemOutcome, folder: Path | None) -> ItemOutcome:
    """An outcome of which nothing is known, with no earlier export of its case left."""
    row = outcome.verdict
    try:
        gone = withdraw(folder, Path(outcome.root), row.spec, row.case) if folder is not None else None
    except OSError as error:
        return outcome.model_copy(update={"notes": (withdrawal_failed(row.spec, error),), "failed": True})
    return outcome.model_copy(update={"withdrawn": str(gone)}) if gone is not None else outcome


def unexported(name: str, reason: str, earlier: str) -> str:
    """Why nothing of a case was exported, and what became of an earlier export."""
    removed = f"; the earlier export was removed from {earlier}" if earlier else ""
    return f"not exported: {name}: {reason}{removed}"


def withdrawal_failed(name: str, error: OSError) -> str:
    """That an earlier export is still where it was, whatever came of its case."""
    return f"an earlier export of {name} could not be removed, and is not to be shipped: {error}"


def labels_of(items: Iterable[object]) -> dict[Key, list[str]]:
    """The labels of each case among the items of a run."""
    found: dict[Key, list[str]] = {}
    for item in items:
        if isinstance(item, SpecItem):
            found.setdefault(item.key, []).append(item.label)
    return found
