"""Expected failures: a verdict that the spec foresaw, bound for bound, is borne until its day; any other stands."""

from __future__ import annotations

from datetime import date

from harness.judge.verdict import State, Verdict
from harness.spec.expectation import ExpectFail
from harness.spec.schema import Spec

_KEPT = (State.PASS, State.NOT_RUN)


def apply_expected_failures(row: Verdict, spec: Spec, today: date, *, release: bool = False) -> Verdict:
    """The verdict as the spec's `expect_fail` leaves it.

    Every bound that breaks must be expected to, with that verdict, by an entry whose day is not over; then, and outside
    of a release, the row is an EXPECTED FAIL. A bound that was expected to break and holds makes it a FAIL.

    Args:
        row: as judged.
        spec: the case.
        today: UTC.
        release: whether this run lets a release out, which bears no failure.
    """
    entries = [entry for entry in spec.expect_fail if entry.labels(spec.budgets) == (row.label,)]
    if not entries or row.verdict is State.NOT_RUN:
        return row
    broken = {name: state for name, state in row.found.items() if state not in _KEPT}
    covered: set[str] = set()
    met: list[ExpectFail] = []
    clauses: list[str] = []
    passed = False
    for entry in entries:
        hit = _hit(entry, spec, broken, row.sentence)
        if entry.expired(today):
            spare = ", and is not needed" if row.verdict is State.PASS else ""
            clauses.append(f"the exception by {entry.owner} ran out on {entry.until}{spare}")
        elif hit:
            covered |= hit
            met.append(entry)
        elif _held(entry, spec, row):
            clauses.append(f"expected {entry} by {entry.owner}, and it passes: remove the expect_fail")
            passed = True
        elif row.verdict is not State.PASS:
            clauses.append(f"that is not the {entry} that {entry.owner} expects")
    state = row.verdict
    if passed:
        state = State.INVALID if row.verdict is State.INVALID else State.FAIL
    elif met and broken.keys() == covered:
        clauses += [_terms(entry) for entry in met]
        state = row.verdict if release else State.EXPECTED
        if release:
            clauses.append("the release tier tolerates no failure")
    elif met:
        clauses.append(f"nobody expects that of {', '.join(sorted(broken.keys() - covered))}")
    changed: dict[str, object] = {"verdict": state, "expected": tuple(met) if state is State.EXPECTED else ()}
    if state is not row.verdict:
        changed["unaccepted"] = False
    body = row.sentence.removesuffix(f" → {row.verdict}")
    return row.model_copy(update={**changed, "sentence": f"{'; '.join([body, *clauses])} → {state}"})


def _hit(entry: ExpectFail, spec: Spec, broken: dict[str, State], sentence: str) -> set[str]:
    """The broken bounds that an entry foresaw."""
    cause = entry.cause(spec.budgets)
    if entry.says is not None and entry.says not in sentence:
        return set()
    return {name for name, state in broken.items() if state.value == entry.verdict and cause in (None, name)}


def _held(entry: ExpectFail, spec: Spec, row: Verdict) -> bool:
    """Whether what was expected to break was looked at, and did not."""
    cause = entry.cause(spec.budgets)
    return row.verdict is State.PASS if cause is None else row.found.get(cause) is State.PASS


def _terms(entry: ExpectFail) -> str:
    return f"{entry} expected by {entry.owner} until {entry.until}: {entry.because}"
