"""Failures that a spec expects, bound for bound: only what was foreseen is borne, and only until its day."""

from datetime import date

import pytest

from harness.judge.expected import apply_expected_failures
from harness.judge.verdict import BASELINE, MEASUREMENT, Broken, State, Verdict
from harness.spec.schema import Spec

PASS, FAIL, INVALID, INCONCLUSIVE, EXPECTED, NOT_RUN = (
    State.PASS, State.FAIL, State.INVALID, State.INCONCLUSIVE, State.EXPECTED, State.NOT_RUN,
)  # fmt: skip
TODAY = date(2026, 6, 1)
DROP = {"metric": "top1", "verdict": "FAIL", "bound": "max_drop"}
FLOOR = {"metric": "top1", "verdict": "FAIL", "bound": "min"}


def spec(*entries: dict[str, str]) -> Spec:
    terms = {"because": "a new backbone", "owner": "mara", "until": "2026-12-31"}
    return Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {"source": "zoo", "name": "resnet20-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": {"top1": {"max_drop": 0.02, "min": 0.9}, "size_mb": {"max": 3}},
            "expect_fail": [{**terms, **entry} for entry in entries],
        }
    )


def row(
    verdict: State, found: dict[str, State], label: str = "top1", clauses: tuple[tuple[str, str], ...] = ()
) -> Verdict:
    """A row whose every finding says "figures", unless `clauses` gives them: bound and clause, one by one."""
    given = clauses or tuple((bound, "figures") for bound in found)
    broken = tuple(Broken(bound=bound, verdict=found[bound], clause=clause) for bound, clause in given)
    return Verdict(
        spec="s",
        label=label,
        metric=label,
        verdict=verdict,
        found=found,
        broken=tuple(one for one in broken if one.verdict not in (PASS, NOT_RUN)),
        sentence=f"{label}: {'; '.join(clause for _, clause in clauses) or 'figures'} → {verdict}",
    )


def left(verdict: State, found: dict[str, State], *entries: dict[str, str], **options: bool) -> Verdict:
    return apply_expected_failures(row(verdict, found), spec(*entries), TODAY, **options)


def test_what_was_foreseen_is_borne_and_says_by_whom_until_when_and_why():
    judged = left(FAIL, {"max_drop": FAIL, "min": PASS}, DROP)
    assert judged.verdict is EXPECTED
    assert judged.sentence == (
        "top1: figures; FAIL (max_drop) expected by mara until 2026-12-31: a new backbone → EXPECTED FAIL"
    )
    assert [entry.owner for entry in judged.expected] == ["mara"]
    assert Verdict.model_validate_json(judged.model_dump_json()) == judged


@pytest.mark.parametrize(
    ("verdict", "found", "words"),
    [
        # Another bound breaks.
        (FAIL, {"max_drop": PASS, "min": FAIL}, "expected FAIL (max_drop) by mara, and it passes"),
        # The one that was foreseen, and another.
        (FAIL, {"max_drop": FAIL, "min": FAIL}, "nobody expects that of min"),
        # Another verdict.
        (INCONCLUSIVE, {"max_drop": INCONCLUSIVE, "min": PASS}, "that is not the FAIL (max_drop) that mara expects"),
        (INVALID, {MEASUREMENT: INVALID}, "that is not the FAIL (max_drop) that mara expects"),
        # The budget holds, and something else is wanting.
        (FAIL, {"max_drop": PASS, "min": PASS, BASELINE: FAIL}, "and it passes: remove the expect_fail"),
        (FAIL, {"max_drop": PASS, "min": PASS, "regress": FAIL}, "and it passes: remove the expect_fail"),
    ],
)
def test_anything_else_counts_as_what_it_is(verdict, found, words):
    judged = left(verdict, found, DROP)
    assert judged.verdict is verdict
    assert words in judged.sentence
    assert judged.expected == ()


def test_an_unexpected_pass_fails():
    judged = left(PASS, {"max_drop": PASS, "min": PASS}, DROP)
    assert judged.verdict is FAIL
    assert judged.sentence == (
        "top1: figures; expected FAIL (max_drop) by mara, and it passes: remove the expect_fail → FAIL"
    )


def test_every_bound_that_breaks_has_to_be_foreseen_and_every_entry_to_come_true():
    assert left(FAIL, {"max_drop": FAIL, "min": FAIL}, DROP, FLOOR).verdict is EXPECTED
    half = left(FAIL, {"max_drop": FAIL, "min": PASS}, DROP, FLOOR)
    assert half.verdict is FAIL
    assert "expected FAIL (min) by mara, and it passes" in half.sentence
    undecided = {**DROP, "verdict": "INCONCLUSIVE"}
    assert left(FAIL, {"max_drop": INCONCLUSIVE, "min": FAIL}, undecided, FLOOR).verdict is EXPECTED


def test_an_expired_entry_excuses_nothing_and_names_its_owner_and_day():
    over = {**DROP, "until": "2026-05-31"}
    judged = left(FAIL, {"max_drop": FAIL, "min": PASS}, over)
    assert judged.verdict is FAIL
    assert judged.sentence == "top1: figures; the exception by mara ran out on 2026-05-31 → FAIL"
    # A pass stays one: nothing is expected any more.
    passed = left(PASS, {"max_drop": PASS, "min": PASS}, over)
    assert (passed.verdict, passed.sentence) == (
        PASS, "top1: figures; the exception by mara ran out on 2026-05-31, and is not needed → PASS",
    )  # fmt: skip
    assert left(FAIL, {"max_drop": FAIL, "min": PASS}, {**DROP, "until": "2026-06-01"}).verdict is EXPECTED


def test_a_release_bears_nothing():
    judged = left(FAIL, {"max_drop": FAIL, "min": PASS}, DROP, release=True)
    assert judged.verdict is FAIL
    assert judged.sentence.endswith("until 2026-12-31: a new backbone; the release tier tolerates no failure → FAIL")
    assert left(PASS, {"max_drop": PASS, "min": PASS}, DROP, release=True).verdict is FAIL


def test_invalid_is_told_by_words_of_its_sentence():
    entry = {"metric": "top1", "verdict": "INVALID", "says": "figures"}
    assert left(INVALID, {MEASUREMENT: INVALID}, entry).verdict is EXPECTED
    other = left(INVALID, {MEASUREMENT: INVALID}, {**entry, "says": "the worker died"})
    assert other.verdict is INVALID
    assert "that is not the INVALID that mara expects" in other.sentence
    assert left(PASS, {"max_drop": PASS, "min": PASS}, entry).verdict is FAIL
    assert left(FAIL, {"max_drop": FAIL, "min": PASS}, entry).verdict is FAIL


def test_words_narrow_a_bound_too():
    assert left(FAIL, {"max_drop": FAIL, "min": PASS}, {**DROP, "says": "figures"}).verdict is EXPECTED
    assert left(FAIL, {"max_drop": FAIL, "min": PASS}, {**DROP, "says": "other words"}).verdict is FAIL


ZEROS = ("measurement", "magnitude-pruning: 0.1 % of weights in fc1 are zero")
EQUAL = ("measurement", "the compressed artifact equals the float one: nothing was compressed")


def test_words_of_one_clause_excuse_no_other():
    entry = {"metric": "evidence", "verdict": "INVALID", "says": "are zero"}
    one = row(INVALID, {MEASUREMENT: INVALID}, "evidence", (ZEROS,))
    assert apply_expected_failures(one, spec(entry), TODAY).verdict is EXPECTED
    both = apply_expected_failures(row(INVALID, {MEASUREMENT: INVALID}, "evidence", (EQUAL, ZEROS)), spec(entry), TODAY)
    assert (both.verdict, both.expected) == (INVALID, ())
    assert both.sentence.endswith(f'; nobody expects "{EQUAL[1]}" → INVALID')
    second = {**entry, "says": "equals the float one"}
    foreseen = row(INVALID, {MEASUREMENT: INVALID}, "evidence", (EQUAL, ZEROS))
    assert apply_expected_failures(foreseen, spec(entry, second), TODAY).verdict is EXPECTED


def test_a_float_model_below_its_floor_excuses_no_implausible_gain():
    found = {MEASUREMENT: INVALID, "reference_min": INVALID}
    clauses = ((MEASUREMENT, "gains 0.3: is the float model broken?"), ("reference_min", "below reference_min 0.9"))
    both = row(INVALID, found, clauses=clauses)
    for entry in ({"says": "below reference_min"}, {"bound": "reference_min"}):
        left_so = apply_expected_failures(both, spec({"metric": "top1", "verdict": "INVALID", **entry}), TODAY)
        assert left_so.verdict is INVALID
        assert 'nobody expects "gains 0.3' in left_so.sentence


def test_a_regression_can_be_foreseen():
    entry = {**DROP, "bound": "regress"}
    assert left(FAIL, {"max_drop": PASS, "min": PASS, "regress": FAIL}, entry).verdict is EXPECTED
    assert left(PASS, {"max_drop": PASS, "min": PASS, "regress": PASS}, entry).verdict is FAIL
    # Where the baseline does not speak, nothing is known of it.
    silent = left(PASS, {"max_drop": PASS, "min": PASS}, entry)
    assert (silent.verdict, silent.sentence) == (PASS, "top1: figures → PASS")


def test_other_budgets_and_what_did_not_run_are_left_alone():
    for one in (row(FAIL, {"max": FAIL}, "size_mb"), row(NOT_RUN, {}), row(PASS, {"max": PASS}, "size_mb")):
        assert apply_expected_failures(one, spec(DROP), TODAY) is one


def test_a_stale_expectation_is_not_told_as_a_missing_baseline() -> None:
    """Accepting a baseline would not make it green: the entry has to go first."""
    sound = row(FAIL, {"max_drop": PASS, BASELINE: FAIL}).model_copy(update={"unaccepted": True})
    judged = apply_expected_failures(sound, spec(DROP), TODAY)
    assert (judged.verdict, judged.unaccepted) == (FAIL, False)
    assert "and it passes: remove the expect_fail" in judged.sentence
    assert apply_expected_failures(sound, spec(), TODAY).unaccepted


def test_a_row_that_turns_into_a_failure_can_be_tightened_by_no_update() -> None:
    better = row(PASS, {"max_drop": PASS, "min": PASS, "regress": PASS}).model_copy(update={"improved": True})
    judged = apply_expected_failures(better, spec(DROP), TODAY)
    assert (judged.verdict, judged.improved) == (FAIL, False)
    # After its last day the entry turns nothing, and the gain can be held.
    over = apply_expected_failures(better, spec({**DROP, "until": "2026-05-31"}), TODAY)
    assert (over.verdict, over.improved) == (PASS, True)


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_an_update_accepts_no_regression_that_is_expected(verdict: str) -> None:
    entry, kept = {**DROP, "bound": "regress", "verdict": verdict}, {"max_drop": PASS, "min": PASS}
    judged = left(PASS, kept, entry, updating=True)
    assert judged.verdict is FAIL
    assert judged.sentence == (
        f"top1: figures; an update would accept the {verdict} (regress) that mara expects: remove the expect_fail "
        "first → FAIL"
    )
    assert left(PASS, kept, entry).verdict is PASS
    # After its last day nobody expects it, and what breaks is accepted by no update anyway.
    assert left(PASS, kept, {**entry, "until": "2026-05-31"}, updating=True).verdict is PASS
    assert left(FAIL, {"max_drop": FAIL, "min": PASS}, DROP, entry, updating=True).verdict is EXPECTED
