import json
import math

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from sklearn.metrics import f1_score, precision_score, recall_score

from harness.measurement import Exact, Labels, Measurement, Pairs, Timings, Totals
from harness.statistics import mean_difference, mean_ratio, median_ratio, proportion_difference, proportion_ratio

ANY = TypeAdapter(Measurement)


def pairs(dtype=bool, units=None) -> Pairs:
    reference = np.array([1, 1, 1, 0, 0, 1, 1, 1, 0, 1]).astype(dtype)
    compressed = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1]).astype(dtype)
    return Pairs(
        outcomes_reference=reference, outcomes=compressed, units=np.arange(10) if units is None else units, data="d"
    )


def timings(**more) -> Timings:
    random = np.random.default_rng(0)
    return Timings(blocks_reference=2e6 + 1e4 * random.random((6, 4)), blocks=1e6 + 1e4 * random.random((6, 4)), **more)


def labels(statistic="f1") -> Labels:
    targets, reference, compressed = np.random.default_rng(0).integers(0, 4, (3, 60))
    return Labels(
        statistic=statistic,
        targets=targets,
        labels_reference=reference,
        labels=compressed,
        units=np.arange(60),
        data="d",
    )


def test_a_count_has_intervals_of_no_width():
    size = Exact(measured=3.0, measured_reference=12.0)
    assert (size.value, size.reference, size.n, size.exact) == (3.0, 12.0, None, True)
    ratio, drop = size.ratio(0.95), size.drop(0.95)
    assert (ratio.lower, ratio.estimate, ratio.upper) == (0.25, 0.25, 0.25)
    assert (drop.lower, drop.estimate, drop.upper) == (9.0, 9.0, 9.0)
    assert math.isnan(Exact(measured=1.0, measured_reference=0.0).ratio(0.95).estimate)


def test_yes_or_no_outcomes_are_proportions():
    both = pairs()
    assert (both.value, both.reference, both.n) == (0.6, 0.7, 10)
    assert (both.lost.tolist(), both.won.tolist()) == ([1, 6], [4])
    assert both.independent
    assert both.drop(0.9) == proportion_difference(1, 2, 10, 0.9)
    assert both.ratio(0.9) == proportion_ratio(1, 2, 5, 10, 0.9)
    assert both.drop(0.9).estimate == pytest.approx(0.1)
    assert both.ratio(0.9).estimate == pytest.approx(6 / 7)


def test_scores_and_clusters_are_means_over_units():
    units = np.arange(10) // 2
    # What is right or wrong cannot lie further from a mean than 1; how far a score can is not known.
    for one, reach in ((pairs(float), None), (pairs(units=units), 1.0)):
        assert not one.independent
        scores = one.outcomes_reference.astype(float), one.outcomes.astype(float)
        assert one.drop(0.95) == mean_difference(*scores, one.units, 0.95, reach=reach)
        assert one.ratio(0.95) == mean_ratio(*scores, one.units, 0.95, reach=reach)
        assert one.drop(0.95).estimate == pytest.approx(0.1)
    assert pairs(units=units).n == 5


def test_shares_reach_as_far_as_a_share_can_whatever_was_seen():
    """Of a hundred shares that all stay at a half nothing tells how far one may fall; that it is a share does."""
    half = np.full(100, 0.5)
    scores = Pairs(outcomes_reference=half, outcomes=half, units=np.arange(100), data="d")
    shares = scores.model_copy(update={"reach": 1.0})
    assert shares.drop(0.95) == mean_difference(half, half, shares.units, 0.95, reach=1.0)
    assert shares.ratio(0.95) == mean_ratio(half, half, shares.units, 0.95, reach=1.0)
    # With none lost, Clopper and Pearson's.
    assert shares.drop(0.95).upper == pytest.approx(1 - 0.05 ** (1 / 100), rel=0.01)
    assert scores.drop(0.95).upper < 0.6 * shares.drop(0.95).upper
    # What is right or wrong is known to be so, and what is paired with an earlier run stays what it is.
    assert pairs(units=np.arange(10) // 2).drop(0.95).upper == (
        pairs(units=np.arange(10) // 2).model_copy(update={"reach": 1.0}).drop(0.95).upper
    )
    assert shares.against(scores).reach == 1.0


def test_what_was_stored_before_reaches_were_is_read_as_it_was():
    stored = json.loads(ANY.dump_json(pairs(float)))
    assert stored.pop("reach") is None
    back = ANY.validate_python(stored)
    assert back.reach is None
    assert back.drop(0.95) == pairs(float).drop(0.95)


def test_a_later_run_is_paired_with_an_earlier_one_of_the_same_samples():
    now, before = pairs(), pairs().model_copy(update={"outcomes": np.ones(10, bool)})
    both = now.against(before)
    assert (both.reference, both.value) == (1.0, 0.6)
    assert now.against(before.model_copy(update={"data": "e"})) is None
    assert now.against(labels()) is None
    assert timings().against(timings()) is None


@pytest.mark.parametrize(
    ("statistic", "score"), [("precision", precision_score), ("recall", recall_score), ("f1", f1_score)]
)
def test_macro_scores_are_those_of_scikit_learn(statistic, score):
    both = labels(statistic)
    expected = [
        score(both.targets, each, average="macro", zero_division=0) for each in (both.labels, both.labels_reference)
    ]
    assert [both.value, both.reference] == pytest.approx(expected)
    assert both.drop(0.95).estimate == pytest.approx(expected[1] - expected[0])
    assert both.ratio(0.95).estimate == pytest.approx(expected[0] / expected[1])


@pytest.mark.parametrize(
    ("statistic", "score"), [("precision", precision_score), ("recall", recall_score), ("f1", f1_score)]
)
def test_both_models_are_averaged_over_the_classes_that_there_are(statistic, score):
    """A class of which there is no sample, named by the float model alone, would hide three points of the other's."""
    targets = np.repeat(np.arange(10), 40)
    reference, value = targets.copy(), targets.copy()
    # One sample in fifty of the float model's is named as a class that the split has not; one in twenty of the other's
    # as the next.
    reference[::50], value[::20] = 10, (targets[::20] + 1) % 10
    both = Labels(
        statistic=statistic, targets=targets, labels_reference=reference, labels=value, units=np.arange(400), data="d"
    )
    expected = [
        score(targets, each, labels=np.arange(10), average="macro", zero_division=0) for each in (value, reference)
    ]
    assert [both.value, both.reference] == pytest.approx(expected)
    if statistic == "recall":
        assert both.drop(0.95).estimate == pytest.approx(0.03)


def test_times_are_medians_in_milliseconds_and_rates_are_samples_a_second():
    times, rate = timings(), timings(rate=True, batch=8)
    assert times.value == np.median(times.blocks) / 1e6
    assert rate.value == pytest.approx(8 * 1e9 / np.median(rate.blocks))
    assert times.n == 6
    assert times.ratio(0.95) == median_ratio(times.blocks_reference, times.blocks, 0.95)
    assert times.ratio(0.95).estimate == pytest.approx(times.value / times.reference)
    # Half the time is twice the rate.
    assert rate.ratio(0.95).estimate == pytest.approx(1 / times.ratio(0.95).estimate)
    assert rate.ratio(0.95).estimate == pytest.approx(rate.value / rate.reference)


def test_repeated_looks_widen_the_interval_and_leave_its_claim():
    once, often = timings(), timings(level=0.999)
    assert often.ratio(0.95).confidence == 0.95
    assert often.ratio(0.95).upper == median_ratio(often.blocks_reference, often.blocks, 0.999).upper
    assert often.ratio(0.95).upper > once.ratio(0.95).upper


def test_the_difference_of_times_lies_where_the_ratio_does():
    times = timings()
    ratio, drop = times.ratio(0.95), times.drop(0.95)
    assert drop.estimate == pytest.approx(times.reference - times.value)
    assert drop.lower == pytest.approx(times.reference * (1 - ratio.upper))
    assert drop.upper == pytest.approx(times.reference * (1 - ratio.lower))


@pytest.mark.parametrize(
    "one", [Exact(measured=1 / 3, measured_reference=1e300), pairs(), pairs(np.float32), labels(), timings()],
    ids=["exact", "yes or no", "scores", "labels", "timings"],
)  # fmt: skip
def test_raw_values_travel_bit_for_bit(one):
    for back in (ANY.validate_json(ANY.dump_json(one)), ANY.validate_python(ANY.dump_python(one, mode="json"))):
        assert type(back) is type(one)
        for name in type(one).model_fields:
            sent, received = getattr(one, name), getattr(back, name)
            if isinstance(sent, np.ndarray):
                assert (sent.dtype, sent.shape, sent.tobytes()) == (received.dtype, received.shape, received.tobytes())
            else:
                assert sent == received


class Holding(BaseModel):
    """Any model that a measurement may lie in, which says nothing of infinities."""

    inside: dict[str, Measurement]


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan])
def test_a_figure_that_is_no_number_arrives_as_it_is_whatever_it_travels_in(figure):
    one = Exact(measured=figure, measured_reference=1.0, details={"p95": figure})
    held = Holding(inside={"a": one})
    for back in (
        ANY.validate_json(ANY.dump_json(one)),
        ANY.validate_python(ANY.dump_python(one, mode="json")),
        Exact.model_validate_json(one.model_dump_json()),
        Holding.model_validate_json(held.model_dump_json()).inside["a"],
        Holding.model_validate(held.model_dump(mode="json")).inside["a"],
    ):
        assert repr((back.value, back.reference, back.details)) == repr((figure, 1.0, {"p95": figure}))
    # And as JSON that every reader takes.
    json.loads(ANY.dump_json(one), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "packed",
    [
        {"dtype": "bool", "shape": [3], "data": "AAAA"},
        {"dtype": "nothing", "shape": [1], "data": "eJxjAAAAAQAB"},
        {"dtype": "bool", "shape": [5], "data": "eJxjAAAAAQAB"},
        {"shape": [1], "data": "eJxjAAAAAQAB"},
        {"dtype": "bool", "shape": [1], "data": 3},
    ],
)
def test_a_packed_array_that_is_damaged_is_a_validation_error(packed):
    sent = ANY.dump_python(pairs(), mode="json") | {"outcomes": packed}
    with pytest.raises(ValidationError, match="is no packed array"):
        ANY.validate_python(sent)


def test_the_rise_of_a_perplexity_knows_that_float_s_is_an_estimate_too():
    """By the delta method, where the rise is large; of equal documents by the ratio, which takes float's for known."""
    random, n = np.random.default_rng(0), 400
    before = 3 + 0.5 * random.standard_normal(n)
    after = before + 0.3 + 0.05 * random.standard_normal(n)

    def rise(value):
        totals = Totals(
            totals_reference=100 * before, totals=100 * value, tokens=np.full(n, 100.0), units=np.arange(n), data="d",
            exponential=True,
        )  # fmt: skip
        return -totals.drop(0.95), totals.reference * (totals.ratio(0.95).upper - 1)

    large, known = rise(after)
    figures = [np.exp(one.mean()) for one in (before, after)]
    assert large.estimate == pytest.approx(figures[1] - figures[0])
    error = np.std(figures[1] * after - figures[0] * before, ddof=1) / n**0.5
    assert large.upper - large.estimate == pytest.approx(1.65 * error, rel=0.15)
    assert large.upper - large.estimate > 2.5 * (known - large.estimate)
    none, known = rise(before)
    assert none.estimate == pytest.approx(0, abs=1e-9)
    assert none.upper == pytest.approx(known, rel=0.2)
