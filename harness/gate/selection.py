"""Which items run: tiers, and under xdist on which worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.gate.collection import SpecItem, SpecModule
from harness.spec.tiers import TIERS

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling


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


def scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """For `-n` in xdist's default mode: the items of one spec stay on one worker, all others spread as ever."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class OneSpecOneWorker(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return path if path.endswith((".yaml", ".yml")) else nodeid

        def remove_node(self, node: Any) -> str | None:
            # What a dead worker had finished would be handed out again with nothing in it to run, and waited for.
            held = self.assigned_work[node]
            for scope in [scope for scope, items in held.items() if all(items.values())]:
                del held[scope]
            crashed: str | None = super().remove_node(node)
            return crashed

    return OneSpecOneWorker(config, log)
