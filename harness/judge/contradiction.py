"""A take that does not bear out what an earlier take of the same times proved: it is one against one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.judge.verdict import Finding, State, by_bound
from harness.measurement import Measurement, Timings
from harness.measurement.breach import Breach


def breach_of(measurement: Measurement | None) -> Breach | None:
    """What these times are to bear out; None where nothing is."""
    return measurement.breach if isinstance(measurement, Timings) else None


def contradicted(findings: Iterable[Finding], breach: Breach | None) -> list[Finding]:
    """The findings, those that contradict the breach left open.

    A bound that broke in the earlier take and is kept in this one, or was not enforced in it, can be told by a further
    take. One that this take leaves open by its own noise is not taken again. One that was kept once since the breach is
    kept for good where this take proves it too.
    """
    return [_left_open(one, breach) if breach and _open(one, breach) else one for one in findings]


def unseen(findings: Iterable[Finding], breach: Breach | None) -> list[Finding]:
    """A finding for each bound that broke in an earlier take and that nothing was found of in this one."""
    found = by_bound(list(findings))
    missing = [name for name in (*breach.bounds, *breach.even) if name not in found] if breach else []
    return [_left_open(Finding(State.NOT_RUN, "", bound=name), breach) for name in missing if breach]


def _open(finding: Finding, breach: Breach) -> bool:
    proven = finding.state is State.PASS and not finding.straddles
    return finding.bound in breach.bounds or (finding.bound in breach.even and not proven)


def _left_open(finding: Finding, breach: Breach) -> Finding:
    if finding.state not in (State.PASS, State.NOT_RUN):
        return finding
    advice = ", and this one proves neither" if finding.straddles else ": measure again on a quieter machine"
    text = f"{finding.text} ({breach}{advice})" if finding.text else f"{breach}{advice}"
    again = not finding.straddles
    return replace(finding, state=State.INCONCLUSIVE, text=text, gain=False, disturbed=again, doubted=again)
