"""The audit: every spec and baseline that differs from a revision, compared; files that only moved are followed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.audit import baselines, budgets, heirs
from harness.audit.finding import Loosened
from harness.audit.revision import AuditError, Revision
from harness.audit.specs import Found, Specs
from harness.audit.worktree import Worktree
from harness.baselines import FOLDER
from harness.spec.load import load


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        commit: that was compared with, in full.
        loosened: in the order of the specs.
        unread: links below `specs/` and `baselines/` that led to nothing in that commit; nothing is compared with them.
    """

    commit: str
    loosened: tuple[Loosened, ...]
    unread: tuple[str, ...] = ()

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
        return Audit(then.commit, tuple(_Comparison(then, now).loosened()), tuple(sorted(then.unread)))


class _Comparison:
    def __init__(self, then: Revision, now: Worktree) -> None:
        self._then, self._now = then, now
        self._files = now.files()
        self._old, self._new = Specs(then), Specs(now)

    def loosened(self) -> Iterator[Loosened]:
        before, after = self._old.found(), self._new.found()
        gone = {spec: at for spec, at in before.items() if spec not in after}
        fresh = {spec: at for spec, at in after.items() if spec not in before}
        moved = heirs.specs(gone, fresh, self._old, self._new)
        for spec, old in before.items():
            heir = moved.get(spec, spec)
            if heir not in after:
                reason = self._then.removal(old.path, old.home)
                yield Loosened(spec, "spec", old.path, None, reason=reason)
                continue
            differs = self._differs(old, after[heir])
            if differs:
                yield from self._cases(spec, heir, old, after[heir])
            yield from self._baseline(spec, heir, old, after[heir], differs=differs)

    def _differs(self, old: Found, new: Found) -> bool:
        # Without a stem, equal contents are equal specs; most are, and need not be parsed.
        alike = self._then.files()[old.path] == self._files[new.path]
        if alike and b"extends" not in (self._now.read(new.home) or b""):
            return False
        return self._old.chain(old.home) != self._new.chain(new.home)

    def _cases(self, spec: str, heir: str, old: Found, new: Found) -> Iterator[Loosened]:
        load(self._now.root / new.path)
        before, after = self._old.cases(old.home), self._new.cases(new.home)
        shared = budgets.said(self._old.file(old.home), self._new.file(new.home))
        names = heirs.cases(before, after, moved=spec != heir)
        for name, case in before.items():
            if name in names:
                yield from (one.of(heir, names[name]) for one in budgets.loosened(case, after[names[name]]))
            else:
                yield Loosened(heir, "case", name or "the whole file", None, name, reason=shared)

    def _baseline(self, spec: str, heir: str, old: Found, new: Found, *, differs: bool) -> Iterator[Loosened]:
        was, now = (f"{FOLDER}/{name}.json" for name in (spec, heir))
        named = self._then.files().get(was)
        if named is None or (named == self._files.get(now) and not differs):
            return
        before = _json(self._then.read(was))
        if before is None:
            return
        if now not in self._files:
            yield Loosened(heir, "baseline", was, None, reason=self._then.removal(was))
            return
        after = _json(self._now.read(now))
        if after is None:
            raise AuditError(f"{now} cannot be read; restore it from version control")
        for one in baselines.loosened(before, after, self._heirs(old, new, moved=spec != heir)):
            # Where all that was held of a case is gone, its history is too.
            reason = one.reason if one.label else self._then.removal(was)
            yield replace(one, spec=heir, reason=reason)

    def _heirs(self, old: Found, new: Found, *, moved: bool) -> baselines.Heirs:
        """What became of each case and its labels; those that only the baseline knew keep their names."""
        before, after = self._old.cases(old.home), self._new.cases(new.home)
        known = {
            name: (heir, budgets.labels(before[name], after[heir]))
            for name, heir in heirs.cases(before, after, moved=moved).items()
        }
        own = {name: (name, budgets.labels({}, case)) for name, case in after.items() if name not in before}
        return {**own, **known}


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
