"""By which name a spec, and each of its cases, goes on; what has no heir is gone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from harness.audit import budgets
from harness.audit.specs import Body, Found, Specs

# A file of which so much is still there is the same one under another name.
_SAME = 0.6
# Pairs of files that are looked at for that; past them only equal contents are followed.
_PAIRS = 400
# What a case gates.
_GATED = ("task", "model", "compress")


def cases(before: Mapping[str, Body], after: Mapping[str, Body], *, moved: bool = False) -> dict[str, str]:
    """Each case with what it is called now: its own name, else a new one's that compresses in the same way.

    So a file may be split into cases, and a case renamed; one whose steps nobody takes any more is gone.

    Args:
        before: the cases of a spec, merged.
        after: what they are now.
        moved: the file has another name. A case is then the same only while its steps are: with other steps, two files
            that are much alike are two specs.
    """
    found = {name: name for name, case in before.items() if name in after and not (moved and _other(case, after[name]))}
    for name, case in before.items():
        fresh = [one for one in after if one not in before and one not in found.values()]
        same = [one for one in fresh if not _other(case, after[one])]
        if name not in found and same:
            found[name] = min(same, key=lambda one: len(list(budgets.loosened(case, after[one]))))
    return found


def _other(one: Body, other: Body) -> bool:
    return one.get("compress") != other.get("compress")


def specs(gone: Mapping[str, Found], fresh: Mapping[str, Found], old: Specs, new: Specs) -> dict[str, str]:
    """Specs that moved: the old id with the new one, equal contents first, then the most alike.

    Args:
        gone: the specs whose id nobody has any more.
        fresh: those whose id nobody had.
        old: what reads the former.
        new: what reads the latter.
    """
    found: dict[str, str] = {}
    for spec, at in gone.items():
        content = old.side.read(at.home)
        same = [one for one, to in fresh.items() if one not in found.values() and new.side.read(to.home) == content]
        heir = next((one for one in same if _kin(old.cases(at.home), new.cases(fresh[one].home))), None)
        if heir is not None:
            found[spec] = heir
    left = [(spec, one) for spec in gone if spec not in found for one in fresh if one not in found.values()]
    if len(left) > _PAIRS:
        return found
    scored = [
        (_likeness(old.side.read(gone[spec].home), new.side.read(fresh[one].home)), spec, one)
        for spec, one in left
        if _kin(old.cases(gone[spec].home), new.cases(fresh[one].home))
    ]
    for score, spec, one in sorted(scored, reverse=True):
        if score >= _SAME and spec not in found and one not in found.values():
            found[spec] = one
    return found


def _kin(before: Mapping[str, Body], after: Mapping[str, Body]) -> bool:
    """Whether two files gate one thing in common; what was no spec gated nothing, and anything may follow it."""
    return not before or any(_gated(case) in list(map(_gated, after.values())) for case in before.values())


def _gated(case: Body) -> list[object]:
    return [case.get(name) for name in _GATED]


def _likeness(one: bytes | None, other: bytes | None) -> float:
    lines = [(content or b"").splitlines() for content in (one, other)]
    return difflib.SequenceMatcher(None, lines[0], lines[1], autojunk=False).ratio()
