"""Budgets that are judged together: what Holm's procedure takes back, and how often a good model still fails."""

import numpy as np
import pytest

from harness.evidence import Evidence
from harness.judge.baseline import CaseBaseline, accept
from harness.judge.bounds import breached
from harness.judge.case import verdict
from harness.judge.claim import claims
from harness.judge.family import broken, proof
from harness.judge.outside import budget
from harness.judge.outside import verdict as judged_alone
from harness.judge.standing import Standing
from harness.judge.verdict import State
from harness.measurement import Exact, Pairs
from harness.metrics.base import METRICS
from harness.run.environment import environment
from harness.run.result import Result
from harness.spec.schema import Spec
from harness.statistics import proportion_difference

PASS, FAIL, INCONCLUSIVE = State.PASS, State.FAIL, State.INCONCLUSIVE


def spec(budgets: dict) -> Spec:
    return Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {"source": "zoo", "name": "resnet20-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": budgets,
        }
    )


def row(spec: Spec, measured: dict, label: str, baseline: CaseBaseline | None = None):
    result = Result(
        spec="task/mine",
        environment=environment(),
        kernels="x86",
        compressed=Evidence(operators={}, tensors=()),
        measurements=measured,
    )
    return verdict(spec, result, label, Standing(baseline, "here", updating=baseline is None))


FOUR = {
    "top1": {"max_drop": 0.0225},
    "top5": {"max_drop": 0.0225},
    "agreement": {"min": 0.9},
    "recall": {"max_drop": 0.05},
}
# The lower bound of 16 lost of 400 lies above 0.0225 at 97.5 % and below it at 98.33 %.
CLOSE, CLEAR, KEPT = (16, 380), (40, 350), (1, 398)


@pytest.fixture
def measured(pairs, labels):
    def make(top1=KEPT, top5=KEPT) -> dict:
        same = Pairs(
            outcomes_reference=np.ones(400, bool), outcomes=np.arange(400) >= 2, units=np.arange(400), data="d"
        )
        return {
            "top1": pairs(top1[0], 0, top1[1], 400),
            "top5": pairs(top5[0], 0, top5[1], 400),
            "agreement": same,
            "recall": labels(400, 10, 2),
        }

    return make


def test_a_close_breach_fails_alone_and_is_undecided_among_four(measured):
    assert proportion_difference(0, 16, 400, 0.9875).lower < 0.0225 < proportion_difference(0, 16, 400, 0.95).lower
    alone = row(spec({"top1": FOUR["top1"]}), measured(top1=CLOSE), "top1")
    assert alone.verdict is FAIL
    among = row(spec(FOUR), measured(top1=CLOSE), "top1")
    assert among.verdict is INCONCLUSIVE
    lower = proportion_difference(0, 16, 400, 0.9875).lower
    shown = alone.sentence.removesuffix(" → FAIL")
    assert among.sentence.startswith(
        f"{shown}; no proof once corrected for 4 claims: at 98.75 % that bound is {lower:.4f}; about "
    )
    assert among.sentence.endswith(" samples would settle it → INCONCLUSIVE")
    # The interval that is shown stays the usual one, and so does every verdict that no claim breaks.
    assert among.interval == alone.interval
    assert row(spec(FOUR), measured(top1=CLOSE), "top5").verdict is PASS


def test_a_clear_breach_fails_in_any_company_and_makes_room_for_the_next(measured):
    both = measured(top1=CLEAR, top5=CLOSE)
    assert row(spec(FOUR), both, "top1").verdict is FAIL
    # Three claims are left for the second step: 0.05 / 3, at which 16 lost are not proven either.
    assert "corrected for 3 claims: at 98.3333 %" in row(spec(FOUR), both, "top5").sentence
    two = {label: FOUR[label] for label in ("top1", "top5")}
    assert row(spec(two), both, "top5").verdict is FAIL


def test_a_budget_counts_whether_it_was_measured_or_not(measured):
    alone = {"top1": measured(top1=CLOSE)["top1"]}
    assert row(spec(FOUR), alone, "top1").verdict is INCONCLUSIVE


def test_counts_times_and_points_are_no_claims(measured, timings):
    budgets = {
        "top1": {"max_drop": 0.0225, "min": 0.5, "reference_min": 0.5},
        "size_mb": {"max_ratio": 0.5},
        "latency_ms": {"max_ratio": 0.8},
        "recall": {"min": 0.5},
    }
    assert [claims(one) for one in spec(budgets).budgets.values()] == [("max_drop",), (), (), ()]
    more = measured(top1=CLOSE) | {
        "size_mb": Exact(measured=6, measured_reference=10),
        "latency_ms": timings(10.0, 9.0),
    }
    assert row(spec(budgets), more, "top1").verdict is FAIL
    assert row(spec(budgets), more, "size_mb").verdict is FAIL
    assert row(spec(budgets), more, "latency_ms").verdict is FAIL


def test_a_ratio_and_an_agreement_are_taken_back_too(pairs):
    same = Pairs(outcomes_reference=np.ones(400, bool), outcomes=np.arange(400) >= 16, units=np.arange(400), data="d")
    measurements = {"top1": pairs(16, 0, 380, 400), "agreement": same}
    for label, bound, limit in (("agreement", "min", 0.979), ("top1", "min_ratio", 0.979)):
        budgets = {label: METRICS[label](**{bound: limit})}
        assert breached(budgets[label], measurements[label], bound, 0.95)
        many = budgets | {name: METRICS["top5"](max_drop=0.5) for name in ("a", "b", "c", "d", "e")}
        level = proof(many, measurements, 0.95)
        assert level == pytest.approx(1 - 0.05 / 6)
        assert not breached(budgets[label], measurements[label], bound, level)


def test_several_bounds_on_outcomes_from_outside_are_one_decision_too(pairs):
    outcomes = pairs(16, 0, 380, 400)
    assert judged_alone(budget({"max_drop": 0.024}), outcomes, 0.95, "x").verdict is FAIL
    assert judged_alone(budget({"max_drop": 0.024, "min_ratio": 0.1}), outcomes, 0.95, "x").verdict is INCONCLUSIVE


def test_outcomes_from_outside_have_the_sentence_and_the_interval_of_the_gate(pairs):
    bounds, outcomes = {"min_ratio": 0.97, "max_drop": 0.01}, pairs(3, 0, 382, 397)
    outside = judged_alone(budget(bounds), outcomes, 0.95, "top1")
    gate = row(spec({"top1": bounds}), {"top1": outcomes}, "top1")
    assert (outside.verdict, outside.interval.of) == (INCONCLUSIVE, "drop")
    assert (outside.sentence, outside.interval) == (gate.sentence, gate.interval)


def test_what_cannot_be_measured_is_not_refuted(measured):
    budgets = {label: METRICS[label](**bounds) for label, bounds in FOUR.items()}
    nothing = Pairs(outcomes_reference=np.zeros(0), outcomes=np.zeros(0), units=np.zeros(0, int), data="d")
    assert proof(budgets, {}, 0.95) == proof(budgets, {"top1": nothing}, 0.95) == pytest.approx(0.9875)
    assert not broken(budgets["top1"], [])


def test_comparisons_with_a_baseline_are_a_family_of_their_own(pairs):
    budgets = {label: {"max_drop": 0.2, "regress": 0.0225} for label in ("top1", "top5", "recall", "precision")}
    made = spec(budgets)
    before = {label: pairs(0, 0, 396, 400) for label in budgets}
    stored = {label: accept(made.budgets[label], one, "x86", 0.95) for label, one in before.items()}
    now = before | {"top1": pairs(16, 0, 380, 400)}
    among = row(made, now, "top1", CaseBaseline(portable=stored))
    assert among.verdict is INCONCLUSIVE
    assert "; worse than the baseline 0.9900 (by at least 0.02" in among.sentence
    assert among.sentence.endswith(", but not proven at the 98.75 % that 4 comparisons ask for → INCONCLUSIVE")
    one = spec({"top1": budgets["top1"]})
    alone = row(one, now, "top1", CaseBaseline(portable={"top1": stored["top1"]}))
    assert alone.verdict is FAIL
    assert "proven worse than the baseline" in alone.sentence
    clear = now | {"top1": pairs(40, 0, 350, 400)}
    assert row(made, clear, "top1", CaseBaseline(portable=stored)).verdict is FAIL


@pytest.mark.parametrize("shared", [0.0, 0.7], ids=["independent", "correlated"])
def test_a_good_model_meets_a_wrong_fail_no_more_often_among_four_budgets(shared):
    # The truth of every budget lies exactly at its limit, where a wrong FAIL is most likely.
    n, limit, sets, random = 150, 0.04, 400, np.random.default_rng(0)
    won_rate, lost_rate = 0.02, 0.06
    alone = together = 0
    for _ in range(sets):
        common, own = random.random(n), random.random((4, n))
        fate = np.where(random.random((4, n)) < shared, common, own)
        lost, won = (fate < lost_rate).sum(axis=1), (fate > 1 - won_rate).sum(axis=1)
        counts = [(int(w), int(lo)) for w, lo in zip(won, lost, strict=True)]
        if not any(proportion_difference(*both, n).lower > limit for both in counts):
            continue
        alone += 1
        outcomes = {
            f"b{index}": Pairs(
                outcomes_reference=np.arange(n) < lo, outcomes=np.arange(n) >= n - w, units=np.arange(n), data="d"
            )
            for index, (w, lo) in enumerate(counts)
        }
        budgets = {label: METRICS["top1"](max_drop=limit) for label in outcomes}
        level = proof(budgets, outcomes, 0.95)
        together += any(breached(budgets[label], one, "max_drop", level) for label, one in outcomes.items())
    # Standard error of the rate: 1 point.
    assert together / sets <= 0.05 < alone / sets
