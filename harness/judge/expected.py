"""Expected failures: a verdict that the spec foresaw, finding for finding, is borne until its day; any other stands."""

from __future__ import annotations

from datetime import date

from harness.judge.verdict import MEASUREMENT, Broken, State, Verdict
from harness.spec.expectation import REGRESS, ExpectFail
from harness.spec.schema import Spec


def expectations(spec: Spec, label: str) -> list[ExpectFail]:
    """The entries of a spec's `expect_fail` that are about one label, whether their day is over or not."""
    return [entry for entry in spec.expect_fail if entry.labels(spec.budgets) == (label,)]


def apply_expected_failures(
    row: Verdict, spec: Spec, today: date, *, release: bool = False, updating: bool = False
) -> Verdict:
    """The verdict as the spec's `expect_fail` leaves it.

    Every finding that is not kept must be expected, with that verdict and in its own words, by an entry whose day is
    not over; then, and outside of a release, the row is an EXPECTED FAIL. A bound that was expected to break and holds
    makes it a FAIL; so does an update, where a regression is expected that it would accept unseen.

    Args:
        row: as judged.
        spec: the case.
        today: UTC.
        release: whether this run lets a release out, which bears no failure.
        updating: whether a new baseline is being accepted, so that the row was held to none.
    """
    entries = expectations(spec, row.label)
    if not entries or row.verdict is State.NOT_RUN:
        return row
    covered: set[int] = set()
    met: list[ExpectFail] = []
    clauses: list[str] = []
    barred = False
    for entry in entries:
        hit = {place for place, broken in enumerate(row.broken) if _foresaw(entry, spec, broken)}
        if entry.expired(today):
            spare = ", and is not needed" if row.verdict is State.PASS else ""
            clauses.append(f"the exception by {entry.owner} ran out on {entry.until}{spare}")
        elif hit:
            covered |= hit
            met.append(entry)
        elif _held(entry, spec, row):
            clauses.append(f"expected {entry} by {entry.owner}, and it passes: remove the expect_fail")
            barred = True
        elif updating and row.verdict is State.PASS and entry.cause(spec.budgets) == REGRESS:
            accepts = f"an update would accept the {entry} that {entry.owner} expects"
            clauses.append(f"{accepts}: remove the expect_fail first")
            barred = True
        elif row.verdict is not State.PASS:
            clauses.append(f"that is not the {entry} that {entry.owner} expects")
    others = [broken for place, broken in enumerate(row.broken) if place not in covered]
    state = row.verdict
    if barred:
        state = State.INVALID if row.verdict is State.INVALID else State.FAIL
    elif met and not others:
        clauses += [_terms(entry) for entry in met]
        state = row.verdict if release else State.EXPECTED
        if release:
            clauses.append("the release tier tolerates no failure")
    elif met:
        clauses.append(f"nobody expects {' or '.join(dict.fromkeys(map(_named, others)))}")
    changed: dict[str, object] = {"verdict": state, "expected": tuple(met) if state is State.EXPECTED else ()}
    if barred or state is not row.verdict:
        # A baseline alone would not make it green, and none can be tightened by what is not.
        changed |= {"unaccepted": False, "improved": False}
    sentence = f"{row.label}: {'; '.join([row.reason, *clauses])} → {state}"
    return row.model_copy(update={**changed, "sentence": sentence})


def _foresaw(entry: ExpectFail, spec: Spec, broken: Broken) -> bool:
    """Whether an entry means this finding: its verdict, its bound and its words, which no other clause can lend it."""
    if entry.says is not None and entry.says not in broken.clause:
        return False
    return broken.verdict.value == entry.verdict and entry.cause(spec.budgets) in (None, broken.bound)


def _held(entry: ExpectFail, spec: Spec, row: Verdict) -> bool:
    """Whether what was expected to break was looked at, and did not."""
    cause = entry.cause(spec.budgets)
    return row.verdict is State.PASS if cause is None else row.found.get(cause) is State.PASS


def _named(broken: Broken) -> str:
    """A finding that nobody foresaw: its bound, or what it says where it has none."""
    return f'"{broken.clause}"' if broken.bound == MEASUREMENT else f"that of {broken.bound}"


def _terms(entry: ExpectFail) -> str:
    return f"{entry} expected by {entry.owner} until {entry.until}: {entry.because}"
