"""Budgets, evidence and baseline of a case together."""

from datetime import date

import pytest

from harness.evidence import Evidence, TensorFact
from harness.judge.baseline import CaseBaseline, Machine, accept
from harness.judge.case import verdict
from harness.judge.expected import apply_expected_failures
from harness.judge.standing import Standing
from harness.judge.verdict import Match, State
from harness.measurement import Exact
from harness.run.environment import environment
from harness.run.job import Failure
from harness.run.result import Result
from harness.spec.expectation import EVIDENCE, ExpectFail
from harness.spec.schema import Spec

PASS, FAIL, INVALID, INCONCLUSIVE, NOT_RUN = (
    State.PASS, State.FAIL, State.INVALID, State.INCONCLUSIVE, State.NOT_RUN,
)  # fmt: skip
HERE = "fingerprint"


@pytest.fixture
def case(pairs, timings):
    """A spec of three budgets, what was measured, and a baseline of exactly that."""

    class Bench:
        spec = Spec.model_validate(
            {
                "version": 1,
                "task": "image-classification",
                "model": {"source": "zoo", "name": "resnet20-digits"},
                "data": {"source": "digits"},
                "compress": [{"method": "float16"}],
                "budgets": {
                    "size_mb": {"max_ratio": 0.5},
                    "top1": {"max_drop": 0.02},
                    "speed": {"metric": "latency_ms", "max": 15.0, "max_ratio": 0.8},
                },
            }
        )

        def __init__(self):
            self.measured = {
                "size_mb": Exact(measured=2.0, measured_reference=5.0),
                "top1": pairs(3, 0, 382, 397),
                "speed": timings(20.0, 10.0),
            }
            self.result = {
                "spec": "task/mine", "case": "w8", "environment": environment(), "kernels": "x86",
                "compressed": Evidence(operators={"conv": 1}, tensors=(fact("int8"),)),
            }  # fmt: skip

        def baseline(self, **other):
            kept = self.measured | other
            held = {label: accept(self.spec.budgets[label], one, "x86", 0.95) for label, one in kept.items()}
            machine = Machine(environment={}, threads=1, labels={"speed": held.pop("speed")})
            return CaseBaseline(portable=held, machines={HERE: machine})

        def judge(self, label, standing=None, **changes):
            result = Result.model_validate({**self.result, "measurements": self.measured, **changes})
            return verdict(self.spec, result, label, standing or Standing(self.baseline(), HERE))

    return Bench()


def fact(dtype):
    return TensorFact(name="weight", dtype=dtype, shape=(10, 10), zeros=25)


def test_a_row_carries_everything_that_a_report_shows(case):
    row = case.judge("top1")
    assert (row.spec, row.case, row.label, row.metric, row.verdict) == ("task/mine", "w8", "top1", "top1", PASS)
    assert (row.value, row.reference, row.n) == (382 / 397, 385 / 397, 397)
    assert row.bound == {"max_drop": 0.02}
    assert (row.interval.of, row.interval.estimate, row.interval.confidence) == ("drop", 3 / 397, 0.95)
    assert row.sentence.startswith("top1: 0.9622 vs float 0.9698, drop 0.0076 (3 lost, 0 won of 397; ")
    assert row.sentence.endswith(", limit 0.0200 → PASS")
    assert type(row).model_validate_json(row.model_dump_json()) == row


def test_a_label_names_the_row_and_the_metric_its_unit(case):
    row = case.judge("speed")
    assert (row.label, row.metric, row.unit, row.verdict) == ("speed", "latency_ms", "ms", PASS)
    assert row.sentence.startswith(
        "speed: 10.0 vs float 20.0, 95 % upper bound 10.01 over 20 blocks, max 15.00 (exact match); ratio 0.500 ["
    )


def test_the_bound_that_decided_leads(case):
    case.measured["speed"] = case.measured["speed"].model_copy(update={"blocks": case.measured["speed"].blocks * 1.7})
    row = case.judge("speed")
    assert row.verdict is FAIL
    assert row.sentence.startswith(
        "speed: 17.0 vs float 20.0, 95 % lower bound 16.98 over 20 blocks, max 15.00 (exact match); ratio 0.850 ["
    )


def test_a_kept_budget_without_a_baseline_fails_and_says_how_to_accept_one(case):
    for standing in (Standing(None, HERE), Standing(CaseBaseline(), HERE)):
        row = case.judge("size_mb", standing)
        assert row.verdict is FAIL
        assert row.sentence == (
            "size_mb: 2.000 vs float 5.000, ratio 0.400, limit 0.500; within budget, but no baseline is stored: look "
            'at it and accept it with --update-baselines --reason "…" → FAIL'
        )


def test_a_broken_budget_speaks_before_its_baseline(case):
    case.measured["size_mb"] = Exact(measured=3.0, measured_reference=5.0)
    row = case.judge("size_mb", Standing(None, HERE))
    assert row.sentence == "size_mb: 3.000 vs float 5.000, ratio 0.600, limit 0.500 → FAIL"


def test_a_proven_regression_fails_inside_the_budget(case):
    standing = Standing(case.baseline(size_mb=Exact(measured=1.8, measured_reference=5.0)), HERE)
    row = case.judge("size_mb", standing)
    assert row.sentence == (
        "size_mb: 2.000 vs float 5.000, ratio 0.400, limit 0.500; worse than the baseline 1.800 by more than 1 % → FAIL"
    )


def test_an_improvement_passes_and_says_that_the_baseline_can_be_tightened(case):
    standing = Standing(case.baseline(size_mb=Exact(measured=2.4, measured_reference=5.0)), HERE)
    row = case.judge("size_mb", standing)
    assert row.verdict is PASS
    assert row.sentence.endswith("; better than the baseline 2.400: --update-baselines tightens it → PASS")


def test_updating_asks_for_no_baseline_and_compares_with_none(case):
    for baseline in (None, case.baseline(size_mb=Exact(measured=1.0, measured_reference=5.0))):
        assert case.judge("size_mb", Standing(baseline, HERE, updating=True)).verdict is PASS
    elsewhere = Standing(case.baseline(), "other", updating=True)
    assert "max 15.00;" in case.judge("speed", elsewhere).sentence


def test_a_baseline_that_cannot_be_read_is_invalid_and_named(case):
    row = case.judge("size_mb", Standing(None, HERE, problem="baselines/x.json is no baseline"))
    assert row.verdict is INVALID
    assert row.sentence.endswith("; baselines/x.json is no baseline → INVALID")


def test_a_machine_that_nobody_accepted_enforces_ratios_and_says_so(case):
    row = case.judge("speed", Standing(case.baseline(), "another machine"))
    assert row.verdict is PASS
    assert row.sentence.startswith("speed: 10.0 vs float 20.0, ratio 0.500 [")
    assert "; max 15.00 ms is not enforced here (foreign machine: no baseline was accepted on it; acc" in row.sentence
    assert row.sentence.endswith("; no baseline here (foreign machine) → PASS")
    assert row.match is Match.FOREIGN


def test_a_time_that_was_accepted_on_no_machine_says_so_and_what_accepts_it(case):
    """There is no other machine that this one could be foreign to."""
    portable = case.baseline().model_copy(update={"machines": {}})
    machine = case.baseline().machines[HERE]
    of_another_budget = machine.model_copy(update={"labels": {"another": machine.labels["speed"]}})
    beside_another = portable.model_copy(update={"machines": {"other": of_another_budget}})
    told = (
        "no figure of this budget has been accepted yet, on this machine or another: accept one with "
        '--update-baselines --reason "…"'
    )
    for baseline in (None, CaseBaseline(), portable, beside_another):
        row = case.judge("speed", Standing(baseline, HERE))
        assert (row.verdict, row.match) == (PASS, Match.FOREIGN)
        assert f"; max 15.00 ms is not enforced here ({told});" in row.sentence
        assert row.sentence.endswith(f"; {told} → PASS")
        assert "foreign" not in row.sentence


def test_milliseconds_alone_are_not_run_on_a_machine_that_nobody_accepted(case):
    case.spec = case.spec.model_copy(
        update={
            "budgets": {**case.spec.budgets, "speed": case.spec.budgets["speed"].model_copy(update={"max_ratio": None})}
        }
    )
    assert case.judge("speed").verdict is PASS
    row = case.judge("speed", Standing(case.baseline(), "another machine"))
    assert row.verdict is NOT_RUN
    assert row.sentence.endswith('accept one with --update-baselines --reason "…") → NOT RUN')


@pytest.mark.parametrize("harmless", [{"reference_max": 60.0}, {"min_ratio": 0.1}])
def test_a_bound_that_no_worse_model_breaks_turns_nothing_green(case, harmless):
    only = case.spec.budgets["speed"].model_copy(update={"max_ratio": None, **harmless})
    case.spec = case.spec.model_copy(update={"budgets": {**case.spec.budgets, "speed": only}})
    assert case.judge("speed").verdict is PASS
    assert case.judge("speed", Standing(case.baseline(), "another machine")).verdict is NOT_RUN


def test_a_limit_on_the_float_models_own_time_is_for_the_machine_that_was_accepted(case, timings):
    bounds = {"max": None, "reference_max": 21.0}
    speed = case.spec.budgets["speed"].model_copy(update=bounds)
    case.spec = case.spec.model_copy(update={"budgets": {**case.spec.budgets, "speed": speed}})
    standing = Standing(case.baseline(), HERE)
    assert case.judge("speed", standing).verdict is PASS
    case.measured["speed"] = timings(22.0, 11.0)
    row = case.judge("speed", standing)
    assert (row.verdict, row.found["reference_max"]) == (INVALID, INVALID)
    assert "the float model itself has latency_ms 22.00, above reference_max 21.00: two bad models" in row.sentence
    # A slower machine is none of the float model's faults.
    elsewhere = case.judge("speed", Standing(case.baseline(), "another machine"))
    assert (elsewhere.verdict, elsewhere.found["reference_max"]) == (PASS, NOT_RUN)
    assert "reference_max 21.00 ms is not enforced here (foreign machine: no baseline was acc" in elsewhere.sentence


@pytest.mark.parametrize(("slower", "enforced"), [(1.0, True), (1.14, True), (1.2, False), (0.8, False)])
def test_milliseconds_are_enforced_only_while_the_float_model_is_where_it_was(case, timings, slower, enforced):
    standing = Standing(case.baseline(), HERE)
    case.measured["speed"] = timings(20.0 * slower, 10.0 * slower)
    row = case.judge("speed", standing)
    assert row.verdict is PASS
    assert ("max 15.00 (exact match);" in row.sentence) is enforced
    assert row.match is Match.EXACT
    assert ("the float model has" in row.sentence) is not enforced


@pytest.mark.parametrize(
    ("then", "now", "enforced"),
    [("a", "a", False), (None, "a", False), ("a", "b", True)],
    ids=["the same model", "nobody knows", "another model"],
)
def test_milliseconds_are_enforced_where_it_is_another_float_model_that_is_slower(case, timings, then, now, enforced):
    """Twice as slow, float and compressed alike: the ratio and its baseline are kept, 15 ms are not."""
    accepted = case.baseline()
    machine = accepted.machines[HERE]
    labels = {"speed": machine.labels["speed"].model_copy(update={"float_model": then})}
    accepted = accepted.model_copy(update={"machines": {HERE: machine.model_copy(update={"labels": labels})}})
    case.measured["speed"] = timings(40.0, 20.0)
    row = case.judge("speed", Standing(accepted, HERE), float_model=now)
    assert row.found["max"] is (FAIL if enforced else NOT_RUN)
    assert row.verdict is (FAIL if enforced else PASS)


def test_another_question_is_no_other_pace_of_the_machine(case, timings):
    """A smaller batch takes the float model less time, and a regression could hide behind that."""
    standing = Standing(case.baseline(), HERE)
    case.measured["speed"] = timings(15.0, 8.7, batch=4)
    row = case.judge("speed", standing)
    assert (row.verdict, row.found["regress"]) == (INVALID, INVALID)
    assert "the baseline was taken with batch 1, and this with batch 4: accept it anew" in row.sentence


def test_a_baseline_of_a_slower_spell_proves_no_regression(case, timings):
    # No neighbour makes a model quicker, so it is the baseline's ratio that belongs to another pace of this machine.
    standing = Standing(case.baseline(), HERE)
    case.measured["speed"] = timings(15.0, 8.7)
    row = case.judge("speed", standing)
    assert row.verdict is PASS
    assert "no baseline here: the float model, far quicker, has 15.00 ms here, and 20.00 where the b" in row.sentence
    case.measured["speed"] = timings(18.0, 10.44)
    assert "proven worse than the baseline ratio 0.500 by more than 10 %" in case.judge("speed", standing).sentence


def test_a_float_model_that_is_slowed_keeps_a_regression_back_as_far_as_that_moves_a_ratio(case, timings):
    standing = Standing(case.baseline(), HERE)
    case.measured["speed"] = timings(26.0, 15.08)
    row = case.judge("speed", standing)
    assert (row.verdict, row.disturbed) == (INCONCLUSIVE, True)
    assert "worse than the baseline ratio 0.500, but the float model runs 30% slower than where its" in row.sentence
    case.measured["speed"] = timings(26.0, 18.2)
    assert "proven worse than the baseline ratio 0.500 by more than 10 %" in case.judge("speed", standing).sentence


@pytest.fixture
def elsewhere(case):
    """The case's baseline as it was accepted with an older torch; changed further where a test says so."""

    def make(ratio=None, kernels="x86", threads=1, **other):
        setting = environment().model_dump(mode="json")
        setting["libraries"] = {**setting["libraries"], "torch": "1.0.0"}
        one = case.measured["speed"]
        held = accept(case.spec.budgets["speed"], one, kernels, 0.95)
        if ratio is not None:
            held = held.model_copy(update={"ratio": ratio})
        machine = Machine(environment=setting | other, threads=threads, labels={"speed": held})
        return Standing(CaseBaseline(machines={"older": machine}), HERE)

    return make


def test_a_compatible_machine_holds_the_ratio_to_its_baseline_and_no_milliseconds(case, elsewhere):
    row = case.judge("speed", elsewhere())
    assert (row.verdict, row.match) == (PASS, Match.COMPATIBLE)
    assert "; max 15.00 ms is not enforced here (the baseline's machine is a compatible match, torch 1.0.0 then" in (
        row.sentence
    )
    assert row.sentence.endswith(
        "; no regression against the baseline ratio (compatible machine: torch 1.0.0 then) → PASS"
    )
    slower = case.judge("speed", elsewhere(ratio=(0.39, 0.4, 0.41)))
    assert slower.verdict is FAIL
    assert slower.sentence.endswith(
        "proven worse than the baseline ratio 0.400 by more than 10 % (compatible machine: torch 1.0.0 then) → FAIL"
    )


@pytest.mark.parametrize(
    "other", [{"kernels": "onednn"}, {"threads": 2}, {"cpu": "another"}, {"instruction_sets": ["sse"]}, {"system": "x"}]
)
def test_another_engine_thread_count_or_processor_is_foreign(case, elsewhere, other):
    row = case.judge("speed", elsewhere(ratio=(0.39, 0.4, 0.41), **other))
    assert (row.verdict, row.match) == (PASS, Match.FOREIGN)
    assert row.sentence.endswith("; no baseline here (foreign machine) → PASS")


def test_milliseconds_alone_turn_green_by_no_ratio_of_a_compatible_machine(case, elsewhere):
    only = case.spec.budgets["speed"].model_copy(update={"max_ratio": None})
    case.spec = case.spec.model_copy(update={"budgets": {**case.spec.budgets, "speed": only}})
    assert case.judge("speed", elsewhere()).verdict is NOT_RUN
    assert case.judge("speed", elsewhere(ratio=(0.39, 0.4, 0.41))).verdict is FAIL


def test_only_times_and_memory_have_a_machine_to_match(case):
    assert case.judge("size_mb").match is None


def test_a_worker_that_failed_is_invalid_for_every_budget_and_the_evidence(case):
    gone = Failure(sentence="the worker was killed (signal 9, SIGKILL): out of memory?")
    for label in (*case.spec.budgets, EVIDENCE):
        row = case.judge(label, measurements={}, failure=gone)
        assert row.verdict is INVALID
        assert row.sentence == f"{label}: the worker was killed (signal 9, SIGKILL): out of memory? → INVALID"


def test_one_budget_that_could_not_be_measured_leaves_the_others(case):
    failures = {"top1": Failure(sentence="the model returned logits that are not finite")}
    assert case.judge("top1", failures=failures).verdict is INVALID
    assert case.judge("size_mb", failures=failures).verdict is PASS


def test_a_figure_that_is_missing_is_invalid(case):
    del case.measured["top1"]
    row = case.judge("top1", Standing(None, HERE))
    assert (row.verdict, row.value) == (INVALID, None)
    assert row.sentence == "top1: was not measured: the worker left no figure for it → INVALID"


def test_an_unmet_requirement_is_not_run(case):
    for label in ("size_mb", EVIDENCE):
        row = case.judge(label, measurements={}, not_here="this machine has no cuda")
        assert (row.verdict, row.sentence) == (NOT_RUN, f"{label}: this machine has no cuda → NOT RUN")


def test_what_is_no_number_reaches_the_report_as_nothing(case):
    case.measured["size_mb"] = Exact(measured=float("nan"), measured_reference=5.0)
    row = case.judge("size_mb", Standing(None, HERE))
    assert (row.verdict, row.value, row.reference) == (INVALID, None, 5.0)
    assert "NaN" not in row.model_dump_json()


def test_an_unbounded_interval_survives_the_report(case, timings):
    case.measured["speed"] = timings(20.0, 10.0, blocks=1)
    row = case.judge("speed", Standing(None, HERE))
    assert row.verdict is INCONCLUSIVE
    assert "Infinity" not in row.model_dump_json()
    assert type(row).model_validate_json(row.model_dump_json()) == row


def test_evidence_passes_where_nothing_contradicts_the_steps(case):
    row = case.judge(EVIDENCE, None)
    assert row.sentence == "evidence: 100 parameters (100 int8), 25.0% zeros in weight matrices → PASS"


def test_evidence_that_contradicts_a_step_is_invalid(case):
    row = case.judge(EVIDENCE, None, contradictions=("none of the 100 weight elements is int8", "and another"))
    assert row.sentence == "evidence: none of the 100 weight elements is int8; and another → INVALID"


def test_evidence_that_nobody_counted_is_invalid(case):
    assert case.judge(EVIDENCE, None, compressed=None).verdict is INVALID


def test_each_contradiction_is_a_finding_of_its_own(case):
    said = ("the compressed artifact equals the float one: nothing was compressed", "float16: none is float16")
    row = case.judge(EVIDENCE, None, contradictions=said)
    assert [(one.bound, one.verdict, one.clause) for one in row.broken] == [
        ("measurement", INVALID, sentence) for sentence in said
    ]
    assert row.found == {"measurement": INVALID}
    assert case.judge(EVIDENCE, None).broken == ()


def test_a_row_keeps_every_finding_that_is_not_kept_with_its_own_clause(case, pairs):
    case.measured["top1"] = pairs(60, 0, 337, 397)
    row = case.judge("top1")
    assert [(one.bound, one.verdict) for one in row.broken] == [("max_drop", FAIL)]
    assert row.broken[0].clause.startswith("drop 0.1511 (60 lost, 0 won of 397; ")


@pytest.fixture
def expected(case):
    """The case with a size that is expected to break its limit of 0.5."""

    def entry(bound, verdict="FAIL"):
        terms = {"because": "a leaner export", "owner": "mara", "until": "2999-12-31"}
        return ExpectFail.model_validate({"metric": "size_mb", "bound": bound, "verdict": verdict, **terms})

    def judge(size, accepted, *entries):
        case.spec = case.spec.model_copy(update={"expect_fail": [entry(*one) for one in entries]})
        standing = Standing(None, HERE)
        if accepted is not None:
            standing = Standing(case.baseline(size_mb=Exact(measured=accepted, measured_reference=5.0)), HERE)
        case.measured["size_mb"] = Exact(measured=size, measured_reference=5.0)
        return apply_expected_failures(case.judge("size_mb", standing), case.spec, date(2026, 6, 1))

    return judge


LIMIT, REGRESSION = ("max_ratio",), ("regress",)


def test_an_expected_failure_is_held_to_what_was_accepted_before(expected):
    assert expected(3.0, None, LIMIT).verdict is State.EXPECTED
    held = expected(3.0, 3.0, LIMIT)
    assert (held.verdict, held.found) == (State.EXPECTED, {"max_ratio": FAIL, "regress": PASS})
    worse = expected(4.5, 3.0, LIMIT)
    assert worse.verdict is FAIL
    assert worse.sentence == (
        "size_mb: 4.500 vs float 5.000, ratio 0.900, limit 0.500; worse than the baseline 3.000 by more than 1 %; "
        "nobody expects that of regress → FAIL"
    )
    assert expected(4.5, 3.0, LIMIT, REGRESSION).verdict is State.EXPECTED
    # It can be tightened by no update while it breaks, so nothing is said of that.
    assert "better" not in expected(3.0, 4.0, LIMIT).sentence


def test_a_regression_that_was_foreseen_and_is_none_is_told(expected):
    row = expected(3.0, 3.0, LIMIT, REGRESSION)
    assert row.verdict is FAIL
    assert "expected FAIL (regress) by mara, and it passes: remove the expect_fail" in row.sentence


def test_a_baseline_that_cannot_be_compared_with_leaves_an_expected_failure_as_it_is(case, pairs):
    terms = {"because": "a new backbone", "owner": "mara", "until": "2999-12-31"}
    entry = ExpectFail.model_validate({"metric": "top1", "verdict": "FAIL", **terms})
    case.spec = case.spec.model_copy(update={"expect_fail": [entry]})
    standing = Standing(case.baseline(top1=pairs(3, 0, 382, 397, data="others")), HERE)
    case.measured["top1"] = pairs(60, 0, 337, 397)
    row = apply_expected_failures(case.judge("top1", standing), case.spec, date(2026, 6, 1))
    assert row.verdict is State.EXPECTED
    assert "; no regression is proven: the baseline was taken on other samples, or with " in row.sentence
    broken = Standing(None, HERE, problem="baselines/x.json is no baseline")
    assert case.judge("top1", broken).verdict is INVALID


def test_an_entry_for_one_contradiction_bears_no_second_one(case):
    terms = {"because": "a new pruner", "owner": "mara", "until": "2999-12-31"}
    entry = ExpectFail.model_validate({"metric": "evidence", "verdict": "INVALID", "says": "are zero", **terms})
    case.spec = case.spec.model_copy(update={"expect_fail": [entry]})
    zeros = "magnitude-pruning: 10.0% of the weights in conv are zero"
    equal = "the compressed artifact equals the float one: nothing was compressed"
    for said, state in (((zeros,), State.EXPECTED), ((equal, zeros), INVALID), ((zeros, equal), INVALID)):
        row = apply_expected_failures(case.judge(EVIDENCE, None, contradictions=said), case.spec, date(2026, 6, 1))
        assert row.verdict is state
