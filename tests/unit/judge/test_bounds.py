"""Every kind of bound, in both directions, on counts, shares and times."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from harness.judge.figures import number
from harness.judge.verdict import Finding, Match, Place, State, overall
from harness.measurement import Correlation, Exact, Generated, Pairs, Timings, Totals
from harness.measurement.generated import crossed
from harness.statistics import mean_kernel, proportion_difference, smallest_limit

PASS, FAIL, INVALID, INCONCLUSIVE, NOT_RUN = (
    State.PASS, State.FAIL, State.INVALID, State.INCONCLUSIVE, State.NOT_RUN,
)  # fmt: skip


def count(value: float, reference: float) -> Exact:
    return Exact(measured=value, measured_reference=reference)


@pytest.mark.parametrize(
    ("metric", "value", "reference", "bounds", "state"),
    [
        # Lower is better: at the limit is within it.
        ("size_mb", 3.0, 10.0, {"max": 3.0}, PASS),
        ("size_mb", math.nextafter(3.0, 4), 10.0, {"max": 3.0}, FAIL),
        ("size_mb", 2.5, 10.0, {"max_ratio": 0.25}, PASS),
        ("size_mb", 2.6, 10.0, {"max_ratio": 0.25}, FAIL),
        ("size_mb", 2.0, 10.0, {"max_ratio": 0.5, "min_ratio": 0.25}, FAIL),
        ("size_mb", 2.0, 10.0, {"max": 3, "min": 2.5}, FAIL),
        ("size_mb", 11.5, 10.0, {"max_rise": 1.5}, PASS),
        ("size_mb", 11.6, 10.0, {"max_rise": 1.5}, FAIL),
        ("size_mb", 4.0, 10.0, {"max_rise": 0}, PASS),
        ("size_mb", 2.0, 10.0, {"max": 3, "reference_max": 10.0}, PASS),
        ("size_mb", 2.0, 10.1, {"max": 3, "reference_max": 10.0}, INVALID),
        # Higher is better.
        ("sparsity", 0.5, 0.0, {"min": 0.5}, PASS),
        ("sparsity", math.nextafter(0.5, 0), 0.0, {"min": 0.5}, FAIL),
        ("sparsity", 0.75, 0.5, {"min_ratio": 1.5}, PASS),
        ("sparsity", 0.7, 0.5, {"min_ratio": 1.5}, FAIL),
        ("sparsity", 0.25, 0.5, {"max_drop": 0.25}, PASS),
        ("sparsity", 0.2, 0.5, {"max_drop": 0.25}, FAIL),
        ("sparsity", 0.5, 0.1, {"min": 0.5, "reference_min": 0.2}, INVALID),
        # The worst of several bounds decides, and what means nothing before what fails.
        ("size_mb", 5.0, 10.0, {"max": 6, "max_ratio": 0.4}, FAIL),
        ("size_mb", 5.0, 11.0, {"max": 4, "reference_max": 10}, INVALID),
    ],
)
def test_a_count_keeps_its_bounds_or_breaks_them(judged, metric, value, reference, bounds, state):
    assert judged(metric, count(value, reference), **bounds).state is state


def test_nothing_is_rounded_before_it_is_compared(judged):
    below, at = judged("size_mb", count(0.8499999, 1), max=0.85), judged("size_mb", count(0.85, 1), max=0.85)
    above = judged("size_mb", count(0.8500001, 1), max=0.85, max_ratio=0.85)
    assert (below.state, at.state, above.state) == (PASS, PASS, FAIL)
    # Where rounding hides the difference, the sentence says it.
    assert above.text == "above max 0.8500 (over by 1.0e-07); ratio 0.850, limit 0.850 (over by 1.0e-07)"


def test_a_share_just_below_its_floor_fails(judged, pairs):
    # 945 of 1,000, which two decimals would show as 0.95.
    verdict = judged("top1", pairs(40, 0, 945, 1000), min=0.95)
    assert verdict.sentence == "0.9450 vs float 0.9850, below min 0.9500 → FAIL"


def test_the_sentence_of_an_accuracy_shows_drop_counts_bound_and_limit(judged, pairs):
    verdict = judged("top1", pairs(3, 0, 382, 397), max_drop=0.02)
    upper = proportion_difference(0, 3, 397, 0.95).upper
    assert verdict.sentence == (
        f"0.9622 vs float 0.9698, drop 0.0076 (3 lost, 0 won of 397; 95 % upper bound {upper:.4f}), limit 0.0200 → PASS"
    )
    # Any exact bound lies near Clopper and Pearson's of the lost alone.
    assert upper == pytest.approx(beta.ppf(0.95, 4, 394), rel=0.03)


def test_the_sentence_of_a_time_shows_ratio_interval_and_limit(judged, timings):
    verdict = judged("latency_ms", timings(33.4, 13.6, spread=0.02), max_ratio=0.8)
    held = verdict.findings[0].interval
    assert held.estimate == 13.6 / 33.4
    assert verdict.sentence == (
        f"13.6 vs float 33.4, ratio 0.407 [{held.lower:.3f}, {held.upper:.3f}], limit 0.800 → PASS"
    )


def test_a_proven_drop_fails_and_shows_the_bound_that_proves_it(judged, pairs):
    verdict = judged("top1", pairs(30, 0, 352, 397), max_drop=0.02)
    lower = proportion_difference(0, 30, 397, 0.95).lower
    assert lower > 0.02
    assert f"(30 lost, 0 won of 397; 95 % lower bound {lower:.4f}), limit 0.0200 → FAIL" in verdict.sentence


@pytest.mark.parametrize("n", [50, 200, 797])
def test_a_perfect_sample_proves_limits_down_to_what_its_size_can(judged, pairs, n):
    finest = smallest_limit(n)
    assert judged("top1", pairs(0, 0, n - 2, n), max_drop=finest * 1.001).state is PASS
    assert judged("top1", pairs(0, 0, n - 2, n), max_drop=finest * 0.999).state is INCONCLUSIVE


def test_accuracy_is_proven_at_the_confidence_that_was_asked_for(judged, pairs):
    outcome = pairs(3, 0, 382, 397)
    assert judged("top1", outcome, confidence=0.95, max_drop=0.02).state is PASS
    strict = judged("top1", outcome, confidence=0.99, max_drop=0.02)
    assert strict.state is INCONCLUSIVE
    assert "99 % upper bound" in strict.text


def test_more_won_than_lost_is_no_drop(judged, pairs):
    verdict = judged("top1", pairs(2, 12, 980, 1000), max_drop=0.005)
    assert verdict.state is PASS
    assert "drop -0.0100 (2 lost, 12 won of 1000;" in verdict.text


def test_samples_of_one_photo_are_one_unit(judged, pairs):
    # 20 losses spread over 200 samples of 20 photos: a bound over 200 would be too tight.
    alone, clustered = pairs(20, 0, 180, 200), pairs(20, 0, 180, 200, a_unit=10)
    one, many = (judged("top1", each, max_drop=0.2).findings[0].interval for each in (alone, clustered))
    assert one.estimate == many.estimate == 0.1
    assert many.upper > one.upper
    assert "over 200 samples of 20 units; " in judged("top1", clustered, max_drop=0.2).text


def test_agreement_is_bounded_by_its_interval_and_not_by_its_point(judged, pairs):
    # 97.5 % of 397 agree; the lower bound is about 95.8 %.
    same = Pairs(outcomes_reference=np.ones(397, bool), outcomes=np.arange(397) >= 10, units=np.arange(397), data="d")
    lower = beta.ppf(0.05, 387, 11)
    kept, open_ = judged("agreement", same, min=0.95), judged("agreement", same, min=0.97)
    assert (kept.state, open_.state, judged("agreement", same, min=0.99).state) == (PASS, INCONCLUSIVE, FAIL)
    held = kept.findings[0].interval
    assert (held.of, held.estimate) == ("value", 387 / 397)
    assert held.lower == pytest.approx(lower, abs=0.003)
    assert kept.sentence == f"0.9748, 95 % lower bound {held.lower:.4f} over 397 samples, min 0.9500 → PASS"
    assert "95 % upper bound" in judged("agreement", same, min=0.99).text


def test_a_ratio_of_shares_is_bounded_on_the_losing_side(judged, pairs):
    outcome = pairs(3, 0, 382, 397)
    lower = judged("top1", outcome, min_ratio=0.5).findings[0].interval.lower
    assert judged("top1", outcome, min_ratio=lower).state is PASS
    assert judged("top1", outcome, min_ratio=math.nextafter(lower, 1)).state is INCONCLUSIVE
    assert judged("top1", outcome, min_ratio=0.99999).state is FAIL


def test_macro_scores_are_bounded_over_their_samples(judged, labels):
    assert judged("f1", labels(800, 10, 4), max_drop=0.05).state is PASS
    assert judged("f1", labels(800, 10, 80), max_drop=0.02).state is FAIL
    assert "over 800 samples; 95 % upper bound" in judged("f1", labels(800, 10, 4), max_drop=0.05).text


@pytest.mark.parametrize(
    ("metric", "bounds", "state"),
    [
        ("latency_ms", {"max_ratio": 0.6}, PASS),
        ("latency_ms", {"max_ratio": 0.4}, FAIL),
        # 10 ms, known to half a percent: what lies nearer is not proven.
        ("latency_ms", {"max": 10.1}, PASS),
        ("latency_ms", {"max": 10.01}, INCONCLUSIVE),
        ("latency_ms", {"max": 9.99}, INCONCLUSIVE),
        ("latency_ms", {"max": 9.9}, FAIL),
        ("latency_ms", {"max_rise": 0.0}, PASS),
        ("latency_ms", {"max_ratio": 0.6, "min_ratio": 0.45}, PASS),
        ("latency_ms", {"max_ratio": 0.6, "reference_max": 20.0}, PASS),
        ("latency_ms", {"max_ratio": 0.6, "reference_max": 19.0}, INVALID),
    ],
)
def test_times_are_held_to_bounds_on_the_time_and_on_its_ratio(judged, timings, metric, bounds, state):
    assert judged(metric, timings(20.0, 10.0), **bounds).state is state


def test_a_ratio_that_straddles_its_limit_is_undecided(judged, timings):
    verdict = judged("latency_ms", timings(20.0, 10.0, spread=0.4), max_ratio=0.502)
    held = verdict.findings[0].interval
    assert held.lower < 0.502 < held.upper
    assert verdict.state is INCONCLUSIVE
    assert "and 20 were timed: raise `measure.latency_s`" in verdict.text


def test_a_rate_is_better_when_it_is_higher(judged, timings):
    rate = timings(20.0, 10.0, rate=True, batch=32)
    verdict = judged("throughput_fps", rate, min_ratio=1.9, min=3000)
    assert verdict.state is PASS
    assert verdict.sentence.startswith(
        "3,200 vs float 1,600, 95 % lower bound 3,196 over 20 blocks, min 3,000; ratio 2.000 ["
    )
    assert judged("throughput_fps", rate, min_ratio=2.1).state is FAIL


@pytest.mark.parametrize(
    ("limit", "state"), [(0.8, PASS), (0.55, PASS), (0.53, INCONCLUSIVE), (0.48, INCONCLUSIVE), (0.45, FAIL)]
)
def test_load_withholds_the_verdicts_that_its_bias_could_turn(judged, timings, limit, state):
    # A neighbour who takes 20 % may bias a ratio by 7 %: 0.5 may be anything from 0.467 to 0.535.
    assert judged("latency_ms", timings(20.0, 10.0, load=0.2), max_ratio=limit).state is state
    idle = judged("latency_ms", timings(20.0, 10.0, load=0.02), max_ratio=limit)
    assert idle.state is (PASS if limit > 0.5 else FAIL)


def test_load_withholds_milliseconds_and_differences_too(judged, timings):
    busy = timings(20.0, 10.0, load=0.2)
    for bounds in ({"max": 9.5}, {"max": 10.5}):
        verdict = judged("latency_ms", busy, **bounds)
        assert verdict.state is INCONCLUSIVE
        assert "others took 20% of the processor while measuring" in verdict.text
    assert judged("latency_ms", busy, max=13.5).state is PASS
    # Slower by 2 ms is a ratio of 1.1, and load may have made it 1.03 or 1.18.
    assert judged("latency_ms", timings(20.0, 22.0, load=0.2), max_rise=1.0).state is INCONCLUSIVE
    assert judged("latency_ms", timings(20.0, 22.0), max_rise=1.0).state is FAIL
    assert judged("latency_ms", timings(20.0, 22.0, load=0.2), max_rise=9.0).state is PASS


def test_load_is_no_excuse_for_a_count(judged):
    assert judged("size_mb", count(5, 10), max_ratio=0.4).state is FAIL


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", [{"max": 1}, {"max_ratio": 1}, {"max_rise": 1}, {"max": 1, "reference_max": 1}])
def test_what_is_no_number_is_invalid_on_either_side(judged, broken, bounds):
    assert judged("size_mb", count(broken, 1), **bounds).state is INVALID
    assert judged("size_mb", count(1, broken), **bounds).state is INVALID


def test_a_ratio_to_nothing_is_invalid(judged):
    verdict = judged("sparsity", count(0.5, 0.0), min_ratio=2)
    assert verdict.state is INVALID
    assert "a ratio to it means nothing" in verdict.text


def test_an_empty_evaluation_set_is_invalid(judged):
    nothing = np.zeros(0, bool)
    empty = Pairs(outcomes_reference=nothing, outcomes=nothing, units=np.zeros(0, int), data="d")
    assert judged_only(judged, empty).state is INVALID


def judged_only(judged, measurement):
    """The findings alone: an empty set has no figure to open a sentence with."""
    from harness.judge.bounds import judge
    from harness.metrics.base import METRICS

    findings = judge(METRICS["top1"](max_drop=0.1), measurement, 0.95)
    assert findings[0].text == "nothing was measured: there is no sample"
    return findings[0]


def test_a_clock_that_stood_still_is_invalid_and_no_crash(judged):
    still = Timings(blocks_reference=np.zeros((3, 4)), blocks=np.ones((3, 4)))
    verdict = judged("latency_ms", still, max_ratio=1.0)
    assert verdict.state is INVALID
    assert "the clock stood still" in verdict.text


def test_a_percentage_for_a_share_is_invalid_for_it_could_never_fail(judged, pairs, labels):
    verdict = judged("top1", pairs(3, 0, 382, 397), max_drop=2.0)
    assert verdict.state is INVALID
    assert verdict.text == "no model can drop by more than 0.9698 from there: a limit is a share, and 2.000 % is 0.02"
    assert judged("top1", pairs(3, 0, 382, 397), max_drop=0.97).state is INVALID
    assert judged("f1", labels(80, 4, 0), max_drop=1.0).state is INVALID


@pytest.mark.parametrize(
    ("metric", "reference", "bounds", "room"),
    [
        # The float model has no zeros to lose.
        ("sparsity", 0.0, {"max_drop": 0.05}, "drop by more than 0 from there"),
        ("sparsity", 0.4, {"max_drop": 0.4}, "drop by more than 0.4000 from there"),
        # 1,500 samples a second.
        ("throughput_fps", 1500, {"max_drop": 2000}, "drop by more than 1,500 from there"),
        ("throughput_fps", 1500, {"max_drop": 1499}, ""),
        ("sparsity", 0.4, {"max_drop": 0.39}, ""),
        # Of a size no rise is the last one.
        ("size_mb", 10.0, {"max_rise": 1e6}, ""),
    ],
)
def test_a_change_past_what_the_figure_can_be_is_invalid_for_it_could_never_fail(
    judged, timings, metric, reference, bounds, room
):
    if metric == "throughput_fps":
        measured = timings(1000 / reference, 1000 / reference, rate=True)
    else:
        measured = count(reference, reference)
    verdict = judged(metric, measured, **bounds)
    assert verdict.state is (INVALID if room else PASS)
    if room:
        assert verdict.text == f"no model can {room}"


def test_a_coefficient_may_drop_below_zero(judged):
    random = np.random.default_rng(0)
    truth, off = random.normal(size=(2, 60))
    similar = {"similarities_reference": truth + 0.5 * off, "similarities": truth + 0.5 * off}
    measured = Correlation(
        coefficient="pearson", first=np.arange(60), second=np.arange(60) + 60, truth=truth, data="d", **similar
    )
    room = measured.reference + 1
    assert judged("pearson", measured, max_drop=room - 0.01).state is PASS
    last = judged("pearson", measured, max_drop=room)
    assert (last.state, last.text) == (INVALID, f"no model can drop by more than {number(room)} from there")


def test_a_gain_that_no_compression_brings_is_invalid(judged, pairs, timings):
    fed_wrongly = judged("top1", pairs(0, 180, 600, 1000), max_drop=0.02)
    assert fed_wrongly.state is INVALID
    assert "proven better than its float model by more than 0.1000: was the float model loaded" in fed_wrongly.text
    # Eight points of a hundred, or two samples of ten, prove nothing of the kind.
    assert judged("top1", pairs(0, 80, 600, 1000), max_drop=0.02).state is PASS
    assert judged("top1", pairs(0, 2, 8, 10), max_drop=0.5).state is PASS
    # A perplexity of 20 that became 8, a correlation of 0.4 that became 0.9, a distance of 0.3 that became 0.1.
    windows = np.arange(200)
    tokens = np.full(200, 50)
    halved, less = (
        Totals(
            totals_reference=tokens * (np.log(20) + noise), totals=tokens * (np.log(now) + noise), tokens=tokens,
            units=windows, data="d", exponential=True,
        )
        for noise, now in [(np.random.default_rng(0).normal(0, 0.05, 200), now) for now in (8.0, 12.0)]
    )  # fmt: skip
    verdict = judged("perplexity", halved, max_rise=1.0)
    assert verdict.state is INVALID
    assert f"by more than {number(halved.reference / 2)}: was the float model" in verdict.text
    assert judged("perplexity", less, max_rise=1.0).state is PASS
    random = np.random.default_rng(0)
    truth, off = random.normal(size=600), random.normal(size=600)
    for similar, state in ((truth + 0.5 * off, INVALID), (truth + 2.2 * off, PASS)):
        better = Correlation(
            coefficient="pearson", first=np.arange(600), second=np.arange(600) + 600, truth=truth,
            similarities_reference=truth + 2.3 * off, similarities=similar, data="d",
        )  # fmt: skip
        assert judged("pearson", better, max_drop=0.05).state is state
    asleep = judged("latency_ms", timings(20.0, 0.1), max_ratio=0.8)
    assert asleep.state is INVALID
    assert "200 × as fast as its float model: does the artifact do its work?" in asleep.text
    assert judged("throughput_fps", timings(20.0, 0.1, rate=True), min_ratio=2).state is INVALID
    assert judged("latency_ms", timings(20.0, 0.3), max_ratio=0.8).state is PASS
    # Slow is not implausible, and is what the bound is for.
    assert judged("latency_ms", timings(0.1, 20.0), max_ratio=0.8).state is FAIL


def test_a_float_model_below_its_floor_proves_nothing(judged, pairs):
    verdict = judged("top1", pairs(0, 0, 300, 397), max_drop=0.02, reference_min=0.96)
    assert verdict.state is INVALID
    assert verdict.text.startswith(
        "the float model itself has top1 0.7557, below reference_min 0.9600: two bad models show no drop; drop 0 "
    )


def test_absolute_times_count_only_where_they_mean_something(judged, timings):
    elsewhere = Place(False, "no baseline was accepted on this machine")
    # A rise of so many milliseconds is as much of one machine as the milliseconds are.
    for rise in (0.1, 9.0):
        risen = judged("latency_ms", timings(10.0, 11.0), max_rise=rise, place=elsewhere)
        assert risen.state is NOT_RUN
        assert (
            risen.text == f"max_rise {number(rise)} ms is not enforced here (no baseline was accepted on this machine)"
        )
    alone = judged("latency_ms", timings(20.0, 10.0), place=elsewhere, max=5.0)
    assert alone.state is NOT_RUN
    assert alone.text == "max 5.000 ms is not enforced here (no baseline was accepted on this machine)"
    # The ratio is enforced everywhere.
    assert judged("latency_ms", timings(20.0, 10.0), place=elsewhere, max=5.0, max_ratio=0.6).state is PASS
    assert judged("latency_ms", timings(20.0, 10.0), place=elsewhere, max=50.0, max_ratio=0.4).state is FAIL
    # A count is the same on every machine.
    assert judged("size_mb", count(5, 10), place=elsewhere, max=4).state is FAIL


def test_milliseconds_are_held_by_the_interval_of_the_ratio_at_the_float_median(judged, timings):
    noisy = timings(20.0, 10.0, spread=0.4)
    ratio = noisy.ratio(0.95)
    undecided = judged("latency_ms", noisy, max=10.05, place=Place(match=Match.EXACT))
    assert undecided.state is INCONCLUSIVE
    assert f"95 % upper bound {number(20 * ratio.upper)} over 20 blocks, max 10.05 (exact match)" in undecided.text
    assert "and 20 were timed: raise `measure.latency_s`" in undecided.text
    held = undecided.findings[0].interval
    assert (held.lower, held.upper) == pytest.approx((20 * ratio.lower, 20 * ratio.upper))


def test_the_worst_finding_decides():
    order = [NOT_RUN, PASS, INCONCLUSIVE, FAIL, INVALID]
    for index, state in enumerate(order):
        assert overall([Finding(each, "") for each in order[: index + 1]]) is state
    assert overall([]) is NOT_RUN


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.95, 0.99])
def test_one_block_decides_nothing_about_a_ratio(judged, timings, confidence):
    verdict = judged("latency_ms", timings(20.0, 1.0, blocks=1), confidence=confidence, max_ratio=0.5)
    assert verdict.state is INCONCLUSIVE
    assert "[0.000, inf]" in verdict.text


def test_a_distance_that_was_halved_points_to_the_float_model(judged):
    random = np.random.default_rng(0)
    real, noise = random.normal(size=(300, 8)), random.normal(size=(300, 8))
    broken = 8 + random.normal(size=(3, 8))

    def made(off: float) -> tuple[np.ndarray, np.ndarray]:
        return off + noise, crossed(off + noise, real)

    def generated(before: float, after: float) -> Generated:
        (reference, real_reference), (value, real_value) = made(before), made(after)
        return Generated(
            features_reference=reference, features=value, real_reference=real_reference, real=real_value,
            broken=broken, real_broken=crossed(broken, real), constant=mean_kernel(real),
            units=np.arange(300), data="d",
        )  # fmt: skip

    fed_wrongly = generated(3.0, 0.1)
    assert fed_wrongly.plausible == pytest.approx(fed_wrongly.reference / 2)
    verdict = judged("kid", fed_wrongly, max_rise=fed_wrongly.reference)
    assert verdict.state is INVALID
    assert "proven better than its float model by more than" in verdict.text
    # An unbiased distance may lie below zero, and half of that is no yardstick.
    assert generated(0.0, 0.0).plausible is None or generated(0.0, 0.0).reference > 0
    assert judged("kid", generated(3.0, 2.8), max_rise=fed_wrongly.reference).state is PASS
