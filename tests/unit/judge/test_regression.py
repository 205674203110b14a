"""A measurement against what was accepted before."""

import math

import numpy as np
import pytest

from harness.judge.baseline import Accepted, accept
from harness.judge.regression import compare
from harness.judge.verdict import State
from harness.measurement import Exact, Pairs, Timings
from harness.metrics.base import METRICS

PASS, FAIL, INVALID, INCONCLUSIVE = State.PASS, State.FAIL, State.INVALID, State.INCONCLUSIVE


def compared(name, before, now, *, kernels=("x86", "x86"), **bounds):
    metric = METRICS[name](**(bounds or {"max" if METRICS[name].better == "lower" else "min": 1.0}))
    return compare(metric, now, accept(metric, before, kernels[0], 0.95), 0.95, kernels[1])


def count(value):
    return Exact(measured=value, measured_reference=10.0)


@pytest.mark.parametrize(
    ("before", "now", "state", "words"),
    [
        (2.0, 2.0, PASS, ""),
        (2.0, 2.01, PASS, ""),
        (2.0, 2.03, FAIL, "worse than the baseline 2.000 by more than 1 %"),
        (2.0, 1.985, PASS, ""),
        (2.0, 1.9, PASS, "better than the baseline 2.000: --update-baselines tightens it"),
        (0.0, 0.001, FAIL, "worse than the baseline 0 by more than 1 %"),
    ],
)
def test_a_count_may_grow_by_one_percent(before, now, state, words):
    finding = compared("size_mb", count(before), count(now))
    assert (finding.state, finding.text) == (state, words)


@pytest.mark.parametrize(("before", "now", "state"), [(0.5, 0.4951, PASS), (0.5, 0.49, FAIL), (0.5, 0.6, PASS)])
def test_where_higher_is_better_a_loss_is_the_regression(before, now, state):
    assert compared("sparsity", count(before), count(now)).state is state


def test_the_budget_may_set_its_own_tolerance():
    assert compared("size_mb", count(2.0), count(2.1), max=3, regress=0.05).state is PASS
    assert compared("size_mb", count(2.0), count(2.1), max=3, regress=0.04).state is FAIL
    none = compared("size_mb", count(2.0), count(2.0000001), max=3, regress=0)
    assert (none.state, none.text) == (FAIL, "worse than the baseline 2.000 by anything, and nothing is tolerated")


def test_a_baseline_whose_outcomes_are_not_its_figure_compares_with_nothing():
    """Edited by hand to outcomes that are easier to reach, under the figure of the sound ones."""
    right = np.arange(400) < 396

    def outcomes(share):
        both = {"outcomes_reference": right, "outcomes": np.arange(400) < 400 * share}
        return Pairs(**both, units=np.arange(400), data="d")

    metric = METRICS["top1"](min=0.5)
    sound = accept(metric, outcomes(0.99), "x86", 0.95)
    assert compare(metric, outcomes(0.9), sound, 0.95, "x86").state is FAIL
    edited = sound.model_copy(update={"outcomes": outcomes(0.9)})
    for kernels in ("x86", "arm"):
        found = compare(metric, outcomes(0.9), edited, 0.95, kernels)
        assert (found.state, found.bound) == (INVALID, "regress")
        assert found.text.startswith("the baseline says 0.9900, and its outcomes come to 0.9000: was it edited")


def test_a_time_is_compared_as_a_ratio_so_that_another_clock_speed_changes_nothing(timings):
    assert compared("latency_ms", timings(20.0, 10.0), timings(40.0, 20.0)).state is PASS
    slower = compared("latency_ms", timings(20.0, 10.0), timings(20.0, 12.0))
    assert (slower.state, slower.text) == (FAIL, "proven worse than the baseline ratio 0.500 by more than 10 %")
    faster = compared("latency_ms", timings(20.0, 10.0), timings(20.0, 8.0))
    assert (faster.state, faster.text) == (PASS, "better than the baseline ratio 0.500: --update-baselines tightens it")


def test_a_time_regresses_only_where_the_intervals_of_both_runs_prove_it(timings):
    # 13 % slower at the median, and noise of a third: nothing is proven.
    assert compared("latency_ms", timings(20.0, 10.0, spread=0.3), timings(20.0, 11.3, spread=0.3)).state is PASS
    assert compared("latency_ms", timings(20.0, 10.0), timings(20.0, 11.3)).state is FAIL


def test_a_rate_regresses_when_it_falls(timings):
    before, now = (timings(20.0, 10.0 * slower, rate=True, batch=8) for slower in (1.0, 1.3))
    assert compared("throughput_fps", before, now).state is FAIL
    assert compared("throughput_fps", now, before).state is PASS
    assert "better than" in compared("throughput_fps", now, before).text


def test_load_may_not_prove_a_regression_that_it_could_have_made(timings):
    accused = compared("latency_ms", timings(20.0, 10.0), timings(20.0, 12.0, load=0.3))
    assert accused.state is INCONCLUSIVE
    assert "others took 30% of the processor" in accused.text
    assert compared("latency_ms", timings(20.0, 10.0), timings(20.0, 17.0, load=0.3)).state is FAIL


def outcomes(right, n=1000, data="d"):
    same = np.zeros(n, bool)
    same[list(right)] = True
    return Pairs(outcomes_reference=np.ones(n, bool), outcomes=same, units=np.arange(n), data=data)


def test_an_accuracy_is_paired_sample_by_sample_with_the_accepted_one():
    before = outcomes(range(950))
    # Ten samples lost and none won is proven at 95 % (a fair coin falls so once in 1,024); two are not.
    assert compared("top1", before, outcomes(range(2, 950))).state is PASS
    lost = compared("top1", before, outcomes(range(10, 950)))
    assert lost.state is FAIL
    assert lost.text.startswith("proven worse than the baseline 0.9500 (by at least 0.00")
    # As many won as lost: as good, however different.
    assert compared("top1", before, outcomes(range(10, 960))).state is PASS
    won = compared("top1", before, outcomes(range(970)))
    assert (won.state, won.text) == (PASS, "better than the baseline 0.9500: --update-baselines tightens it")


def test_an_accuracy_may_be_given_room():
    assert compared("top1", outcomes(range(950)), outcomes(range(20, 950)), min=0.5, regress=0.02).state is PASS
    beyond = compared("top1", outcomes(range(950)), outcomes(range(60, 950)), min=0.5, regress=0.02)
    assert beyond.state is FAIL
    assert "and 0.02 is tolerated" in beyond.text


def test_outcomes_on_other_samples_cannot_be_compared():
    for other in (outcomes(range(950), data="e"), outcomes(range(450), n=500)):
        finding = compared("top1", outcomes(range(950)), other)
        assert finding.state is INVALID
        assert finding.text == (
            "the baseline was taken on other samples, or with other options of `data`: accept it anew with "
            '--update-baselines --reason "…"'
        )


def test_another_kernel_path_has_no_baseline_here():
    finding = compared("top1", outcomes(range(950)), outcomes(range(800)), kernels=("x86 AVX2", "onednn"))
    assert (finding.state, finding.text) == (PASS, "no baseline for the kernel path onednn (it was taken on x86 AVX2)")


def test_other_samples_are_no_baseline_on_any_kernel_path():
    # Fewer samples under the same address, as when half of the data is gone.
    before, now = outcomes(range(950)), outcomes(range(800))
    fewer = now.model_copy(
        update={name: getattr(now, name)[:400] for name in ("outcomes_reference", "outcomes", "units")}
    )
    finding = compared("top1", before, fewer, kernels=("x86 AVX2", "onednn"))
    assert finding.state is INVALID
    assert "the baseline was taken on other samples" in finding.text


def test_a_baseline_of_another_metric_or_version_or_kind_is_refused(timings):
    metric = METRICS["size_mb"](max=3)
    held = accept(metric, count(2.0), "x86", 0.95)
    for change in ({"metric": "params_m"}, {"metric_version": 2}):
        finding = compare(metric, count(2.0), held.model_copy(update=change), 0.95, "x86")
        assert finding.state is INVALID
        assert "this is size_mb version 1: accept it anew" in finding.text
    for before, now in ((outcomes(range(9)), count(1)), (count(1), outcomes(range(9))), (timings(2, 1), count(1)),
                        (count(1), timings(2, 1)), (outcomes(range(9)), timings(2, 1))):  # fmt: skip
        finding = compare(metric, now, accept(metric, before, "x86", 0.95), 0.95, "x86")
        assert finding.state is INVALID
        assert "another kind of measurement" in finding.text


def test_what_is_accepted_of_each_kind(timings, labels):
    metric = METRICS["latency_ms"](max_ratio=1)
    timed = accept(metric, timings(20.0, 10.0), "x86", 0.95)
    assert (timed.value, timed.reference, timed.ratio[1], timed.outcomes) == (10.0, 20.0, 0.5, None)
    assert timed.ratio[0] < 0.5 < timed.ratio[2]
    assert accept(METRICS["size_mb"](max=1), count(2.0), "x86", 0.95) == Accepted(
        metric="size_mb", metric_version=1, value=2.0, reference=10.0, kernels="x86"
    )
    assert math.isclose(accept(METRICS["f1"](min=0), labels(80, 4, 0), "x86", 0.95).outcomes.value, 1.0)


def test_a_time_accepted_with_one_block_proves_nothing(timings):
    once: Timings = timings(20.0, 10.0, blocks=1)
    assert compared("latency_ms", once, timings(20.0, 19.0)).state is PASS
    assert compared("latency_ms", timings(20.0, 10.0), timings(20.0, 19.0, blocks=1)).state is PASS


def held_to(name, measured, then, now, *, before=None):
    """What a measurement finds in a baseline of a budget with other options."""
    accepted = accept(METRICS[name](**then), before or measured, "x86", 0.95)
    return compare(METRICS[name](**now), measured, accepted, 0.95, "x86")


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ({}, {"neighbours": 10}, "the default neighbours, and this with neighbours 10"),
        ({"neighbours": 10}, {"neighbours": 5}, "neighbours 10, and this with neighbours 5"),
        ({"neighbours": 10}, {}, "neighbours 10, and this with the default neighbours"),
        # Written out or not, it is the same question; so it is with other bounds.
        ({}, {"neighbours": 3, "max_drop": 0.1, "regress": 0.5}, ""),
    ],
)
def test_a_baseline_of_other_options_answers_another_question(then, now, words):
    finding = held_to("generated_precision", outcomes(range(950)), {"min": 0.5, **then}, {"min": 0.5, **now})
    anew = ': accept it anew with --update-baselines --reason "…"'
    expected = (INVALID, f"the baseline was taken with {words}{anew}") if words else (PASS, "")
    assert (finding.state, finding.text, finding.bound) == (*expected, "regress")


def test_a_batch_of_the_spec_is_part_of_the_question_of_a_time(timings):
    budget, four = {"max_ratio": 1.0}, timings(80.0, 40.0, batch=4)
    other = held_to("latency_ms", four, budget, budget, before=timings(20.0, 10.0))
    assert other.text.startswith("the baseline was taken with batch 1, and this with batch 4: accept it anew")
    assert held_to("latency_ms", four, budget, {**budget, "batch": 4}).state is PASS
    whole = held_to("latency_ms", four, budget, {**budget, "stages": "whole"})
    assert whole.text.startswith("the baseline was taken with the default stages, and this with stages whole: ")


def test_of_options_that_were_not_kept_nothing_is_compared(timings):
    """As in files from before they were."""
    accepted = accept(METRICS["latency_ms"](max_ratio=1.0), timings(20.0, 10.0), "x86", 0.95)
    assert accepted.options == {"batch": 1}
    known = accepted.model_dump(mode="json")
    del known["options"]
    before = Accepted.model_validate(known)
    assert before.options is None
    four = timings(80.0, 40.0, batch=4)
    assert compare(METRICS["latency_ms"](max_ratio=1.0), four, before, 0.95, "x86").state is PASS
    assert accept(METRICS["size_mb"](max=3), count(2.0), "x86", 0.95).options is None
