"""What must hold of every verdict, whatever was measured."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge.baseline import accept
from harness.judge.bounds import judge
from harness.judge.family import proof
from harness.judge.regression import compare
from harness.judge.verdict import State, overall
from harness.measurement import Exact, Labels, Pairs, Timings
from harness.metrics.base import METRICS

quick = settings(deadline=None, max_examples=200)

# From green to meaningless: a tighter bound may only move to the right of where it was, or stay.
GREEN = [State.PASS, State.INCONCLUSIVE, State.FAIL]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    n = draw(st.integers(1, 300))
    right = draw(st.integers(0, n))
    lost = draw(st.integers(0, right))
    won = draw(st.integers(0, n - right))
    reference, compressed = np.zeros(n, bool), np.zeros(n, bool)
    reference[:right] = True
    compressed[lost : right + won] = True
    unit = draw(st.sampled_from([1, 1, 7]))
    return Pairs(outcomes_reference=reference, outcomes=compressed, units=np.arange(n) // unit, data="d")


@st.composite
def timings(draw: st.DrawFn, rate: bool = False) -> Timings:
    blocks, calls = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ratio, noise = draw(st.floats(0.05, 5)), draw(st.floats(0, 0.5))
    times = [scale * np.exp(noise * random.standard_normal((blocks, calls))) * 1e6 for scale in (10, 10 * ratio)]
    return Timings(
        blocks_reference=times[0], blocks=times[1], rate=rate, load=draw(st.sampled_from([0.0, 0.03, 0.2, 0.9]))
    )


@st.composite
def scores(draw: st.DrawFn) -> Pairs:
    n, random = draw(st.integers(1, 60)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reference = random.uniform(0.2, 1, n)
    differs = random.random(n) < draw(st.sampled_from([0, 0.1, 1]))
    value = reference - differs * draw(st.floats(-0.2, 0.3)) * random.random(n)
    return Pairs(outcomes_reference=reference, outcomes=value, units=np.arange(n) // draw(st.integers(1, 3)), data="d")


positive = st.floats(1e-6, 1e6)
counts = st.builds(Exact, measured=positive, measured_reference=positive)


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    n, random = draw(st.integers(2, 60)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets, first, second = random.integers(0, 3, (3, n))
    return Labels(
        statistic=draw(st.sampled_from(["precision", "recall", "f1"])), targets=targets, labels_reference=first,
        labels=second, units=np.arange(n), data="d",
    )  # fmt: skip


budgets = st.one_of(
    st.tuples(st.just("top1"), pairs(), st.sampled_from(["min", "min_ratio", "max_drop"])),
    st.tuples(st.just("agreement"), pairs(), st.sampled_from(["min", "max_drop"])),
    st.tuples(st.just("agreement"), pairs(), st.sampled_from(["min", "min_ratio"])),
    st.tuples(st.just("f1"), labels(), st.sampled_from(["min", "min_ratio", "max_drop"])),
    st.tuples(st.just("top1"), scores(), st.sampled_from(["min", "min_ratio", "max_drop"])),
    st.tuples(st.just("size_mb"), counts, st.sampled_from(["max", "max_ratio", "max_rise"])),
    st.tuples(st.just("sparsity"), counts, st.sampled_from(["min", "min_ratio", "max_drop"])),
    st.tuples(st.just("latency_ms"), timings(), st.sampled_from(["max", "max_ratio", "max_rise"])),
    st.tuples(st.just("throughput_fps"), timings(rate=True), st.sampled_from(["min", "min_ratio", "max_drop"])),
)
limits = st.floats(1e-4, 1.5)


def state(metric, measurement, **bounds):
    return overall(judge(METRICS[metric](**bounds), measurement, 0.95))


@quick
@given(budget=budgets, limit=limits, factor=st.floats(1, 3))
def test_tightening_a_bound_never_turns_a_worse_verdict_better(budget, limit, factor):
    metric, measurement, bound = budget
    loose, tight = (limit, limit * factor) if bound.startswith("min") else (limit * factor, limit)
    before, after = (state(metric, measurement, **{bound: each}) for each in (loose, tight))
    if State.INVALID in (before, after):
        # Only a limit that nothing could ever break is without meaning, and a tighter one may gain some.
        assert before is State.INVALID
    elif getattr(measurement, "load", 0) <= 0.05:
        assert GREEN.index(after) >= GREEN.index(before)
    else:
        # Load withholds verdicts near the limit, on both sides of it: green never comes after not green.
        assert after is not State.PASS or before is State.PASS


@quick
@given(
    one=st.one_of(pairs(), scores()), other=st.one_of(pairs(), scores()), limit=limits, factor=st.floats(1, 3),
    second=limits,
)  # fmt: skip
def test_tightening_one_budget_of_several_never_turns_a_worse_verdict_better(one, other, limit, factor, second):
    measured = {"mine": one, "other": other}

    def verdict(bound: float) -> State:
        held = {"mine": METRICS["top1"](max_drop=bound), "other": METRICS["top1"](max_drop=second)}
        level = proof(held, measured, 0.95)
        assert 0.95 <= level <= 0.975
        return overall(judge(held["mine"], one, 0.95, proof=level))

    loose, tight = verdict(limit * factor), verdict(limit)
    if State.INVALID in (loose, tight):
        assert loose is State.INVALID
    else:
        assert GREEN.index(tight) >= GREEN.index(loose)
    # What the others have to say moves a verdict between FAIL and INCONCLUSIVE, and to no other.
    alone = overall(judge(METRICS["top1"](max_drop=limit), one, 0.95))
    assert tight is alone or (alone is State.FAIL and tight is State.INCONCLUSIVE)


@quick
@given(budget=budgets, limit=limits, other=limits)
def test_a_second_bound_never_makes_a_verdict_greener(budget, limit, other):
    metric, measurement, bound = budget
    alone = state(metric, measurement, **{bound: limit})
    side = {"min": "min_ratio", "max": "max_ratio"}.get(bound, "min" if METRICS[metric].better == "higher" else "max")
    both = state(metric, measurement, **{bound: limit, side: other})
    rank = [*GREEN, State.INVALID]
    assert rank.index(both) >= rank.index(alone)


@quick
@given(budget=budgets, limit=limits)
def test_every_verdict_says_its_limit_in_one_line_and_its_interval_holds_the_estimate(budget, limit):
    metric, measurement, bound = budget
    for finding in judge(METRICS[metric](**{bound: limit}), measurement, 0.95):
        assert finding.text
        assert "\n" not in finding.text
        if finding.interval is not None:
            held = finding.interval
            assert held.lower <= held.estimate <= held.upper or not math.isfinite(held.estimate)


@quick
@given(budget=budgets, low=st.floats(0.55, 0.9), high=st.floats(0.9, 0.999), limit=limits)
def test_more_confidence_never_decides_what_less_could_not(budget, low, high, limit):
    metric, measurement, bound = budget
    less, more = (overall(judge(METRICS[metric](**{bound: limit}), measurement, each)) for each in (low, high))
    if less is State.INCONCLUSIVE:
        assert more is State.INCONCLUSIVE


@quick
@given(budget=budgets)
def test_nothing_has_regressed_against_itself(budget):
    metric, measurement, bound = budget
    held = METRICS[metric](**{bound: 1.0})
    finding = compare(held, measurement, accept(held, measurement, "x86", 0.95), 0.95, "x86")
    assert finding.state is State.PASS
    assert not finding.text


@quick
@given(before=counts, worse=st.floats(1, 2), further=st.floats(1, 2), regress=st.floats(0, 0.5))
def test_a_worse_count_never_regresses_less(before, worse, further, regress):
    metric = METRICS["size_mb"](max=1, regress=regress)
    held = accept(metric, before, "x86", 0.95)
    states = [
        compare(metric, before.model_copy(update={"measured": before.measured * factor}), held, 0.95, "x86").state
        for factor in (worse, worse * further)
    ]
    assert GREEN.index(states[1]) >= GREEN.index(states[0])
    assert states[0] is State.PASS or worse > 1 + regress * (1 - 1e-12)
