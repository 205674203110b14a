"""A take that does not bear out an earlier breach leaves open what broke, and nothing else."""

import pytest

from harness.judge.contradiction import contradicted, unseen
from harness.judge.verdict import Finding, State
from harness.measurement.breach import Breach

PASS, FAIL, INCONCLUSIVE, NOT_RUN = State.PASS, State.FAIL, State.INCONCLUSIVE, State.NOT_RUN
BREACH = Breach(bounds=("max_ratio", "regress"), lower=0.6, upper=0.7)
TOLD = "an earlier take proved a breach, [0.600, 0.700]"


def found(state: State, bound: str = "max_ratio", **more: bool) -> Finding:
    return Finding(state, "ratio 0.5", bound=bound, **more)


@pytest.mark.parametrize("state", [PASS, NOT_RUN])
def test_what_broke_and_is_kept_or_not_enforced_now_is_open_to_a_further_take(state: State) -> None:
    (left,) = contradicted([found(state)], BREACH)
    assert (left.state, left.disturbed, left.doubted) == (INCONCLUSIVE, True, True)
    assert left.text == f"ratio 0.5 ({TOLD}: measure again on a quieter machine)"


def test_what_this_take_leaves_open_itself_is_not_taken_again() -> None:
    (left,) = contradicted([found(PASS, "regress", straddles=True)], BREACH)
    assert (left.state, left.disturbed) == (INCONCLUSIVE, False)
    assert left.text == f"ratio 0.5 ({TOLD}, and this one proves neither)"


def test_what_did_not_break_and_what_breaks_again_stand() -> None:
    findings = [found(PASS, "max"), found(FAIL), found(INCONCLUSIVE, "regress")]
    assert contradicted(findings, BREACH) == findings
    assert contradicted([found(PASS)], None) == [found(PASS)]


def test_what_was_not_looked_at_again_is_open() -> None:
    (left,) = unseen([found(PASS)], BREACH)
    assert (left.bound, left.state, left.disturbed) == ("regress", INCONCLUSIVE, True)
    assert left.text == f"{TOLD}: measure again on a quieter machine"
    assert unseen([found(PASS), found(PASS, "regress")], BREACH) == []
    assert unseen([found(PASS)], None) == []


def test_what_was_kept_once_since_is_kept_where_this_take_proves_it() -> None:
    even = Breach(bounds=(), lower=0.6, upper=0.7, even=("max_ratio", "regress"))
    kept = [found(PASS), found(PASS, "regress")]
    assert contradicted(kept, even) == kept
    unenforced, straddling = contradicted([found(NOT_RUN), found(PASS, "regress", straddles=True)], even)
    assert (unenforced.state, unenforced.disturbed) == (INCONCLUSIVE, True)
    assert (straddling.state, straddling.disturbed) == (INCONCLUSIVE, False)
    (left,) = unseen([found(PASS)], even)
    assert (left.bound, left.state) == ("regress", INCONCLUSIVE)
