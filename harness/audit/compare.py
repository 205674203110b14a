"""The audit: every spec and baseline that differs from a revision, compared; files that only moved are followed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.audit import baselines, budgets
from harness.audit.finding import Loosened
from harness.audit.revision import AuditError, Revision, Worktree
from harness.audit.specs import Body, Specs
from harness.baselines import FOLDER
from harness.spec.load import load

# A file of which so much is still there is the same one under another name.
_SAME = 0.6
# Pairs of files that are looked at for that; past them only equal contents are followed.
_PAIRS = 400


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        commit: that was compared with, in full.
        loosened: in the order of the specs.
    """

    commit: str
    loosened: tuple[Loosened, ...]

    @property
    def unexplained(self) -> tuple[Loosened, ...]:
        """Those without a reason."""
        return tuple(one for one in self.loosened if one.reason is None)


def audit(root: Path, revision: str) -> Audit:
    """Compare a project with what it was.

    Args:
        root: the directory that holds `specs/` and `baselines/`.
        revision: a commit, in any way that git knows.

    Raises:
        AuditError: there is nothing to compare with, or a baseline cannot be read.
        SpecError: a spec that changed is not well-formed.
    """
    with Revision(root, revision) as then:
        now = Worktree(root, then.algorithm)
        return Audit(then.commit, tuple(_Comparison(then, now).loosened()))


class _Comparison:
    def __init__(self, then: Revision, now: Worktree) -> None:
        self._then, self._now = then, now
        self._files = now.files()
        self._old, self._new = Specs(then), Specs(now)

    def loosened(self) -> Iterator[Loosened]:
        before, after = self._old.paths(), self._new.paths()
        gone = {spec: path for spec, path in before.items() if spec not in after}
        moved = self._followed(gone, {spec: path for spec, path in after.items() if spec not in before})
        for spec, path in before.items():
            heir = moved.get(spec, spec)
            if heir not in after:
                reason = self._then.removal(path)
                yield Loosened(spec, "spec", path, None, reason=reason)
                continue
            if self._differs(path, after[heir]):
                yield from self._cases(heir, path, after[heir])
            yield from self._baseline(spec, heir, after[heir])

    def _differs(self, old: str, new: str) -> bool:
        # Without a stem, equal contents are equal specs; most are, and need not be parsed.
        alike = self._then.files().get(old) == self._files.get(new)
        if alike and b"extends" not in (self._now.read(new) or b""):
            return False
        return self._old.chain(old) != self._new.chain(new)

    def _cases(self, spec: str, old: str, new: str) -> Iterator[Loosened]:
        load(self._now.root / new)
        before, after = self._old.cases(old), self._new.cases(new)
        shared = budgets.said(self._old.file(old), self._new.file(new))
        heirs = _heirs(before, after)
        for name, case in before.items():
            if name in heirs:
                yield from (one.of(spec, heirs[name]) for one in budgets.loosened(case, after[heirs[name]]))
            else:
                yield Loosened(spec, "case", name or "the whole file", None, name, reason=shared)

    def _baseline(self, spec: str, heir: str, path: str) -> Iterator[Loosened]:
        old, new = (f"{FOLDER}/{name}.json" for name in (spec, heir))
        named = self._then.files().get(old)
        if named is None or named == self._files.get(new):
            return
        before = _json(self._then.read(old))
        if before is None:
            return
        if new not in self._files:
            yield Loosened(heir, "baseline", old, None, reason=self._then.removal(old))
            return
        after = _json(self._now.read(new))
        if after is None:
            raise AuditError(f"{new} cannot be read; restore it from version control")
        labels = {name: list(_budgets(case)) for name, case in self._new.cases(path).items()}
        for one in baselines.loosened(before, after, labels):
            yield replace(one, spec=heir)

    def _followed(self, gone: Mapping[str, str], fresh: Mapping[str, str]) -> dict[str, str]:
        """Specs that moved: the old id with the new one, equal contents first, then the most alike."""
        found: dict[str, str] = {}
        for old, path in gone.items():
            same = [new for new, at in fresh.items() if self._files[at] == self._then.files()[path]]
            free = [new for new in same if new not in found.values()]
            if free:
                found[old] = free[0]
        left = [(old, new) for old in gone if old not in found for new in fresh if new not in found.values()]
        if len(left) > _PAIRS:
            return found
        scored = [(self._likeness(gone[old], fresh[new]), old, new) for old, new in left]
        for score, old, new in sorted(scored, reverse=True):
            if score >= _SAME and old not in found and new not in found.values():
                found[old] = new
        return found

    def _likeness(self, old: str, new: str) -> float:
        one, other = ((side.read(path) or b"").splitlines() for side, path in ((self._then, old), (self._now, new)))
        return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _heirs(before: Mapping[str, Body], after: Mapping[str, Body]) -> dict[str, str]:
    """Each case with what it is called now: its own name, else a new one's that compresses in the same way.

    So a file may be split into cases, and a case renamed; one whose steps nobody takes any more is gone.
    """
    found = {name: name for name in before if name in after}
    for name, case in before.items():
        fresh = [one for one in after if one not in before and one not in found.values()]
        same = [one for one in fresh if after[one].get("compress") == case.get("compress")]
        if name not in after and same:
            found[name] = min(same, key=lambda one: len(list(budgets.loosened(case, after[one]))))
    return found


def _budgets(case: Mapping[str, Any]) -> Mapping[str, Any]:
    found = case.get("budgets")
    return found if isinstance(found, dict) else {}


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
