"""Accepting what a run has measured as the new baseline: of each case all of it, or nothing."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import baselines
from harness.errors import BaselineError
from harness.gate.outcome import ItemKey, ItemOutcome, obstacle
from harness.judge.acceptance import Candidate, accepted
from harness.judge.baseline import Baseline


def accept_cases(
    root: Path, outcomes: Sequence[ItemOutcome], spoiled: Mapping[ItemKey, str], reason: str
) -> tuple[dict[str, Baseline], list[str]]:
    """The new baselines of a project, by spec, and a note for each case that has none.

    Args:
        root: the project's.
        outcomes: of every item of the run that belongs to it.
        spoiled: key of an item that failed beside its verdict → the phase in which it did, or `DIED`.
        reason: why the new figures are acceptable.
    """
    by_case: dict[tuple[str, str, str], list[ItemOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_case[outcome.id, outcome.path, outcome.verdict.case].append(outcome)
    commit = _commit(root)
    updated: dict[str, Baseline] = {}
    notes: list[str] = []
    for (spec, _, case), items in sorted(by_case.items()):
        name = items[0].verdict.name
        try:
            old = updated.get(spec) or baselines.read(root, spec)
        except BaselineError as error:
            notes.append(str(error))
            continue
        hindered = {item.verdict.label: spoiled[item.key] for item in items if item.key in spoiled}
        if reasons := obstacle([item.verdict for item in items], items[0].selected, hindered):
            notes.append(f"baseline of {name}: nothing accepted: {reasons}")
            continue
        candidate = _joined([item.candidate for item in items if item.candidate is not None])
        if not candidate.portable and not candidate.machine:
            continue
        new = accepted(
            old, spec, case, candidate, set(items[0].known), reason, commit, set(items[0].cases),
            today=datetime.now(UTC).date(),
        )  # fmt: skip
        if old is not None and new.model_dump(mode="json") == old.model_dump(mode="json"):
            notes.append(f"baseline of {name}: nothing changed")
        else:
            updated[spec] = new
    return updated, notes


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
