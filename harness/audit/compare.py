"""The audit: every spec and baseline that differs from a revision, compared; files that only moved are followed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.audit import baselines, budgets, document, heirs
from harness.audit.finding import Loosened, Unread
from harness.audit.revision import Revision
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
        unread: what cannot be read from that commit, and so is compared with nothing.
    """

    commit: str
    loosened: tuple[Loosened, ...]
    unread: tuple[Unread, ...] = ()

    @property
    def unexplained(self) -> tuple[Loosened, ...]:
        """What is looser without a reason."""
        return tuple(one for one in self.loosened if one.reason is None)

    @property
    def uncompared(self) -> tuple[Unread, ...]:
        """What cannot be read, without a reason."""
        return tuple(one for one in self.unread if one.reason is None)


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
        comparison = _Comparison(then, Worktree(root, then.algorithm))
        loosened = tuple(comparison.loosened())
        return Audit(then.commit, loosened, tuple(sorted(comparison.unread, key=lambda one: (one.path, one.what))))


class _Comparison:
    """A project then and now.

    Attributes:
        unread: what cannot be read from the commit, as far as it is known.
    """

    def __init__(self, then: Revision, now: Worktree) -> None:
        self._then, self._now = then, now
        self._files = now.files()
        self._old, self._new = Specs(then), Specs(now)
        self.unread = [Unread(path, what, then.removal(path)) for path, what in then.unread.items()]

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
            differs = False
            if not self._alike(old, after[heir]):
                lost = self._lost(old, after[heir])
                differs = self._old.chain(old.home) != self._new.chain(after[heir].home)
                if differs:
                    yield from self._cases(spec, heir, old, after[heir], lost)
                self.unread += [self._unread(heir, old, after[heir], at) for at in lost]
            yield from self._baseline(spec, heir, old, after[heir], differs=differs)

    def _alike(self, old: Found, new: Found) -> bool:
        """Without a stem, equal contents are equal specs; most are, and need not be parsed."""
        alike = self._then.files()[old.path] == self._files[new.path]
        return alike and b"extends" not in (self._now.read(new.home) or b"")

    def _lost(self, old: Found, new: Found) -> list[str]:
        """Stems of a spec that the commit does not hold, which are there now, or are extended still.

        One that was nowhere then made the spec none, which gated nothing.
        """
        extended = self._new.layers(new.home)
        return [
            at
            for at in self._old.layers(old.home)[1:]
            if self._then.read(at) is None and (self._now.home(at) in extended or self._now.read(at) is not None)
        ]

    def _unread(self, spec: str, old: Found, new: Found, stem: str) -> Unread:
        without = [stem, self._now.home(stem)]
        said = budgets.said(self._old.file(old.home, without), self._new.file(new.home, without))
        what = f"is a stem of {spec} that cannot be read from the commit"
        return Unread(posixpath.normpath(stem), what, said or self._then.removal(stem))

    def _cases(self, spec: str, heir: str, old: Found, new: Found, lost: list[str]) -> Iterator[Loosened]:
        load(self._now.root / new.path)
        without = [*lost, *map(self._now.home, lost)]
        if lost and not set(without) & set(self._new.layers(new.home)):
            # What the spec says without a stem that it had is nothing to hold it to.
            return
        before, after = self._old.cases(old.home, without), self._new.cases(new.home, without)
        shared = budgets.said(self._old.file(old.home, without), self._new.file(new.home, without))
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
        if now not in self._files:
            yield Loosened(heir, "baseline", was, None, reason=self._then.removal(was))
            return
        then = f"{was} of {self._then.commit[:12]}"
        before = document.read(self._then.read(was), then, "compare with a commit that has it whole")
        after = document.read(self._now.read(now), now, "restore it from version control")
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
