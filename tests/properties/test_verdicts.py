"""What must hold of every verdict, whatever was measured."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge.baseline import accept
from harness.judge.bounds import judge
from harness.judge.family import proof
from harness.judge.regression import compare
from harness.judge.verdict import State, overall
from harness.measurement import (
    MEASUREMENTS,
    AveragePrecision,
    Correlation,
    Exact,
    Finds,
    Generated,
    Labels,
    Pairs,
    Readings,
    Timings,
    Totals,
)
from harness.measurement.average_precision import Ranking
from harness.measurement.generated import crossed
from harness.metrics.base import METRICS
from harness.statistics import mean_kernel

quick = settings(deadline=None, max_examples=120)
SEED = st.integers(0, 2**32 - 1)

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
    random = np.random.default_rng(draw(SEED))
    ratio, noise = draw(st.floats(0.05, 5)), draw(st.floats(0, 0.5))
    times = [scale * np.exp(noise * random.standard_normal((blocks, calls))) * 1e6 for scale in (10, 10 * ratio)]
    return Timings(
        blocks_reference=times[0], blocks=times[1], rate=rate, load=draw(st.sampled_from([0.0, 0.03, 0.2, 0.9]))
    )


@st.composite
def scores(draw: st.DrawFn) -> Pairs:
    n, random = draw(st.integers(1, 60)), np.random.default_rng(draw(SEED))
    reference = random.uniform(0.2, 1, n)
    differs = random.random(n) < draw(st.sampled_from([0, 0.1, 1]))
    value = reference - differs * draw(st.floats(-0.2, 0.3)) * random.random(n)
    return Pairs(outcomes_reference=reference, outcomes=value, units=np.arange(n) // draw(st.integers(1, 3)), data="d")


positive = st.floats(1e-6, 1e6)
counts = st.builds(Exact, measured=positive, measured_reference=positive)
figures = st.lists(st.floats(0.05, 3), min_size=1, max_size=4).map(tuple)
readings = st.builds(Readings, figures_reference=figures, figures=figures)


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    n, random = draw(st.integers(2, 60)), np.random.default_rng(draw(SEED))
    targets, first, second = random.integers(0, 3, (3, n))
    return Labels(
        statistic=draw(st.sampled_from(["precision", "recall", "f1"])), targets=targets, labels_reference=first,
        labels=second, units=np.arange(n), data="d",
    )  # fmt: skip


@st.composite
def totals(draw: st.DrawFn, counted: bool = False, exponential: bool = False) -> Totals:
    """Of tokens that are right, of their costs, or of divergences from the float model, whose own are none."""
    n, random = draw(st.integers(1, 40)), np.random.default_rng(draw(SEED))
    tokens = random.integers(1, 50, n)
    before, other = (random.binomial(tokens, draw(st.floats(0, 1))) for _ in range(2))
    if not (counted or exponential):
        before = np.zeros(n)
    after = np.where(random.random(n) < draw(st.sampled_from([0, 0.1, 1])), other, before)
    cost = 0.4 if exponential else 1.0
    return Totals(
        totals_reference=cost * before, totals=cost * after, tokens=tokens, counted=counted, exponential=exponential,
        units=np.arange(n) // draw(st.integers(1, 3)), data="d",
    )  # fmt: skip


def objects(random: np.random.Generator, images: int) -> np.ndarray:
    """How many of two classes are on each image; there is one of both."""
    positives = random.integers(0, 3, (images, 2))
    positives[0] = 1
    return positives


@st.composite
def finds(draw: st.DrawFn) -> Finds:
    n, random = draw(st.integers(1, 12)), np.random.default_rng(draw(SEED))
    positives = objects(random, n)
    hits = [random.binomial(positives, draw(st.floats(0, 1))) for _ in range(2)]
    if draw(st.booleans()):
        hits[1] = hits[0]
    more = random.integers(0, 2, (2, n, 2))
    return Finds(
        statistic=draw(st.sampled_from(["precision", "recall", "f1"])), positives=positives, hits_reference=hits[0],
        made_reference=hits[0] + more[0], hits=hits[1], made=hits[1] + more[1],
        units=np.arange(n) // draw(st.integers(1, 2)), data="d",
    )  # fmt: skip


@st.composite
def average_precisions(draw: st.DrawFn) -> AveragePrecision:
    n, random = draw(st.integers(1, 10)), np.random.default_rng(draw(SEED))
    positives = objects(random, n)
    # A line an object.
    image, label = (np.repeat(grid.ravel(), positives.ravel()) for grid in np.indices(positives.shape))

    def ranking(found: float, made_up: int) -> Ranking:
        hit = random.random(len(image)) < found
        images = np.concatenate([image[hit], random.integers(0, n, made_up)])
        names = np.concatenate([label[hit], random.integers(0, 2, made_up)])
        # At the least of two overlaps, or at both.
        hits = np.concatenate([random.choice([1, 3], hit.sum()), np.zeros(made_up, dtype=int)])
        order = np.lexsort((random.random(len(images)), names))
        return Ranking(
            images=images[order], labels=names[order], hits=hits[order], ignored=np.zeros(len(order), dtype=int)
        )

    sides = [ranking(draw(st.floats(0, 1)), draw(st.integers(0, 4))) for _ in range(2)]
    if draw(st.booleans()):
        sides[1] = sides[0]
    return AveragePrecision(
        overlaps=2, positives=positives, ranking_reference=sides[0], ranking=sides[1],
        units=np.arange(n) // draw(st.integers(1, 2)), data="d",
    )  # fmt: skip


@st.composite
def generated(draw: st.DrawFn) -> Generated:
    n, random = draw(st.integers(2, 12)), np.random.default_rng(draw(SEED))
    reference, real = 0.3 * random.standard_normal((n, 4)), 0.3 * random.standard_normal((20, 4))
    value = reference + draw(st.floats(0, 0.3)) + draw(st.floats(0, 0.3)) * random.standard_normal((n, 4))
    broken = 1 + 0.1 * random.standard_normal((draw(st.integers(1, 3)), 4))
    crosses = [crossed(each, real) for each in (reference, value, broken)]
    return Generated(
        features_reference=reference, features=value, broken=broken, real_reference=crosses[0], real=crosses[1],
        real_broken=crosses[2], constant=mean_kernel(real), units=np.arange(n), data="d",
    )  # fmt: skip


@st.composite
def correlations(draw: st.DrawFn) -> Correlation:
    n, random = draw(st.integers(4, 9)), np.random.default_rng(draw(SEED))
    rows, columns = np.triu_indices(n, 1)
    truth, one, other = random.standard_normal((3, len(rows)))
    before = truth + draw(st.floats(0.1, 2)) * one
    return Correlation(
        coefficient=draw(st.sampled_from(["pearson", "spearman"])), first=rows, second=columns, truth=truth,
        similarities_reference=before, similarities=before + draw(st.floats(0, 2)) * other, data="d",
    )  # fmt: skip


BETTER, WORSE = st.sampled_from(["min", "min_ratio", "max_drop"]), st.sampled_from(["max", "max_ratio", "max_rise"])
# A metric, what it measured, and a bound, for every kind of measurement; no verdict on a new kind is tried until it
# stands here.
BUDGETS = {
    "average-precision": st.tuples(st.just("map50"), average_precisions(), BETTER),
    "correlation": st.tuples(st.just("pearson"), correlations(), BETTER),
    "exact": st.one_of(st.tuples(st.just("size_mb"), counts, WORSE), st.tuples(st.just("sparsity"), counts, BETTER)),
    "finds": st.tuples(st.just("f1"), finds(), BETTER),
    # A ratio of kernel distances is refused.
    "generated": st.tuples(st.just("kid"), generated(), st.sampled_from(["max", "max_rise"])),
    "labels": st.tuples(st.just("f1"), labels(), BETTER),
    "pairs": st.one_of(
        st.tuples(st.sampled_from(["top1", "agreement"]), pairs(), BETTER), st.tuples(st.just("top1"), scores(), BETTER)
    ),
    "readings": st.tuples(st.just("peak_memory_mb"), readings, WORSE),
    "timings": st.one_of(
        st.tuples(st.just("latency_ms"), timings(), WORSE),
        st.tuples(st.just("throughput_fps"), timings(rate=True), BETTER),
    ),
    "totals": st.one_of(
        st.tuples(st.just("perplexity"), totals(exponential=True), WORSE),
        st.tuples(st.just("next_token_accuracy"), totals(counted=True), BETTER),
        st.tuples(st.just("kl_divergence"), totals(), st.sampled_from(["max", "max_rise"])),
    ),
}
budgets = st.one_of(*BUDGETS.values())
limits = st.floats(1e-4, 1.5)
# Of few units their figures are biased, and resamples and pseudo-values in another way: an interval may lie beside its
# figure.
BESIDE = {"average-precision", "correlation", "generated"}


def state(metric, measurement, **bounds):
    return overall(judge(METRICS[metric](**bounds), measurement, 0.95))


def test_every_kind_of_measurement_is_judged():
    assert BUDGETS.keys() == set(MEASUREMENTS)


@pytest.mark.parametrize("kind", sorted(BUDGETS))
@settings(deadline=None, max_examples=40)
@given(data=st.data(), limit=limits, factor=st.floats(1, 3))
def test_tightening_a_bound_never_turns_a_worse_verdict_better(kind, data, limit, factor):
    metric, measurement, bound = data.draw(BUDGETS[kind])
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
        if finding.interval is not None and measurement.kind not in BESIDE:
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
