"""Two states of the failures that a case expects: which are new, are others or last longer. Pure, on merged YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.audit.finding import Loosened, short
from harness.spec.reader import Value

Body = Mapping[str, Value]


def loosened(old: Body, new: Body) -> Iterator[Loosened]:
    """Every failure that is tolerated now and was not, or not so long, each with the reason that its own entry gives.

    A reason that any entry had before explains that one, whatever has become of the entry since.
    """
    before = {_foreseen(entry): entry for entry in _entries(old)}
    given = {entry.get("because") for entry in _entries(old) if isinstance(entry.get("because"), str)}
    for entry in _entries(new):
        known, because = before.get(_foreseen(entry)), entry.get("because")
        reason = because if isinstance(because, str) and because.strip() and because not in given else None
        label = str(entry.get("metric"))
        if known is None:
            yield Loosened("", "expect_fail", None, short(entry), label=label, reason=reason)
        elif str(entry.get("until")) > str(known.get("until")):
            yield Loosened("", "expect_fail.until", known.get("until"), entry.get("until"), label=label, reason=reason)


def _foreseen(entry: Body) -> tuple[str, ...]:
    return tuple(str(entry.get(name)) for name in ("metric", "verdict", "bound", "says"))


def _entries(body: Body) -> list[Body]:
    given = body.get("expect_fail")
    return [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)]
