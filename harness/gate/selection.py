"""Which items run: tiers, what `-k` does not hide, and under xdist on which worker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression

from harness.gate.collection import BrokenSpec, Key, SpecItem, SpecModule
from harness.spec.files import SUFFIXES
from harness.spec.tiers import TIERS


def deselect_other_tiers(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the specs up to the asked tier. One that was named on the command line runs whatever its tier."""
    asked = config.getoption("tier")
    allowed = TIERS if asked == "all" else TIERS[: TIERS.index(asked or "ci") + 1]

    def kept(item: pytest.Item) -> bool:
        if not isinstance(item, SpecItem) or item.case.spec.tier in allowed:
            return True
        module = item.getparent(SpecModule)
        return asked is None and module is not None and module.named

    dropped = [item for item in items if not kept(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if kept(item)]


class KeptBroken:
    """Keeps what stands for files that cannot be read where `-k` would hide it: it hides no broken module.

    Nobody knows what the labels and cases of such a file would have been. What else hides an item (`-m`, `--lf`,
    `--deselect`) still does.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._option: Any = config.option
        self._kept: list[pytest.Item] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Take them out of what others are told is deselected."""
        kept = [item for item in items if isinstance(item, BrokenSpec) and self._only_by_keyword(item)]
        self._kept += kept
        if kept and isinstance(items, list):
            items[:] = [item for item in items if item not in kept]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put them back, behind the others."""
        items += self._kept
        self._kept = []

    def _only_by_keyword(self, item: BrokenSpec) -> bool:
        """Whether `-k` hides an item, and `-m` and `--deselect` do not."""
        keyword, chosen = self._option.keyword.lstrip(), self._option.markexpr
        marks = {mark.name for mark in item.iter_markers()}
        if not keyword or item.nodeid.startswith(tuple(self._option.deselect or ())):
            return False
        # What pytest cannot read, it says itself.
        with suppress(SyntaxError):
            hidden = not Expression.compile(keyword).evaluate(KeywordMatcher.from_item(item))
            return hidden and (not chosen or Expression.compile(chosen).evaluate(lambda name, /, **_: name in marks))
        return False


def by_case(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items with those of a case together, where its first one stands; otherwise in their order.

    A case is run when its first item comes up. With its items side by side it is over, and exported, before the next.
    """
    cases: dict[Key, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, SpecItem):
            cases.setdefault(item.key, []).append(item)
    found: list[pytest.Item] = []
    for item in items:
        if isinstance(item, SpecItem):
            found += cases.pop(item.key, ())
        else:
            found.append(item)
    return found


def keep_together(config: pytest.Config, ids: Sequence[str]) -> None:
    """For `-n` in xdist's default mode, once a worker has said what there is: one spec stays on one worker.

    Where there is no spec, and where somebody chose another mode or scheduler, xdist's own stays.
    """
    from xdist.scheduler import LoadScheduling, LoadScopeScheduling

    session: Any = config.pluginmanager.getplugin("dsession")
    chosen: Any = getattr(session, "sched", None)
    if type(chosen) is not LoadScheduling or chosen.node2collection or not any(map(_is_of_spec, ids)):
        return

    class OneSpecOneWorker(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0] if _is_of_spec(nodeid) else nodeid

        def _assign_work_unit(self, node: Any) -> None:
            # A worker that died a moment ago cannot be sent anything. What it was assigned is taken back once its death
            # is told, which comes next; an error here would end the run with the verdicts of all other specs.
            with suppress(OSError):
                super()._assign_work_unit(node)

        def _reschedule(self, node: Any) -> None:
            # A dead worker's successor can be given nothing before it has said what there is; it is given some then.
            if node in self.registered_collections:
                super()._reschedule(node)

        def remove_node(self, node: Any) -> str | None:
            # What a dead worker had finished would be handed out again with nothing in it to run, and waited for.
            held = self.assigned_work[node]
            for scope in [scope for scope, items in held.items() if all(items.values())]:
                del held[scope]
            crashed: str | None = super().remove_node(node)
            return crashed

    session.sched = OneSpecOneWorker(config, session.log)
    for node in chosen.nodes:
        session.sched.add_node(node)


def _is_of_spec(nodeid: str) -> bool:
    return nodeid.partition("::")[0].endswith(SUFFIXES)
