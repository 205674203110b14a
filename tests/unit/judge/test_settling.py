"""What an undecided verdict asks for really settles it."""

import re

import pytest

from harness.judge.verdict import State
from harness.measurement import Exact
from harness.statistics import needed_n


def asked(text: str) -> int:
    return int(re.search(r"about ([\d,]+) ", text).group(1).replace(",", ""))


@pytest.mark.parametrize(("lost", "won", "n", "limit"), [(3, 0, 397, 0.01), (5, 4, 500, 0.01), (0, 0, 100, 0.01)])
def test_the_sample_that_is_asked_for_proves_the_same_drop(judged, pairs, lost, won, n, limit):
    undecided = judged("top1", pairs(lost, won, n - lost - won - 1, n), max_drop=limit)
    assert undecided.state is State.INCONCLUSIVE
    samples = asked(undecided.text)
    assert samples > n
    larger = round(samples / n)
    again = pairs(lost * larger, won * larger, (n - lost - won - 1) * larger, n * larger)
    assert judged("top1", again, max_drop=limit).state is State.PASS


def test_the_sample_is_the_one_that_the_statistics_ask_for(judged, pairs):
    text = judged("top1", pairs(3, 0, 382, 397), max_drop=0.01).text
    wanted = needed_n(0.01, 0.95, 3 / 397, 3 / 397)
    assert wanted <= asked(text) <= 1.1 * wanted


def test_a_drop_past_its_limit_needs_a_sample_that_proves_the_breach(judged, pairs):
    undecided = judged("top1", pairs(6, 0, 390, 397), max_drop=0.01)
    assert undecided.state is State.INCONCLUSIVE
    larger = -(-asked(undecided.text) // 397)
    assert judged("top1", pairs(6 * larger, 0, 390 * larger, 397 * larger), max_drop=0.01).state is State.FAIL


def test_a_figure_on_its_limit_is_settled_by_no_sample(judged, pairs):
    undecided = judged("top1", pairs(4, 0, 390, 400), max_drop=0.01)
    assert undecided.state is State.INCONCLUSIVE
    assert "would settle" not in undecided.text
    assert undecided.text.endswith("; no number of samples proves it while the figure lies on its limit")
    # No room was left for what was not seen.
    none = judged("top1", pairs(0, 0, 390, 400), max_drop=0.0)
    assert none.state is State.INCONCLUSIVE
    assert none.text.endswith("limit 0; no number of samples proves it while the figure lies on its limit")


@pytest.mark.parametrize("n", [1, 20, 100])
def test_where_nothing_differs_the_rule_of_three_says_how_many(judged, pairs, n):
    """0.98 to the power of 149 is 0.0493: as many, whatever the sample at hand (2,300, 970 and 220 by its root)."""
    text = judged("top1", pairs(0, 0, n, n), max_drop=0.02).text
    if n == 1:
        assert text.endswith("; it takes at least two samples: one says nothing of others")
    else:
        assert text.endswith("about 150 samples would settle it")
        assert needed_n(0.02) == 149


def test_of_an_average_over_classes_in_which_nothing_differs_too(judged, labels):
    """Its bound is proportional to 1 / n: at twice the limit, twice as many."""
    assert asked(judged("f1", labels(100, 2, 0), max_drop=0.0147).text) == pytest.approx(200, rel=0.1)
    assert judged("f1", labels(220, 2, 0), max_drop=0.0147).state is State.PASS


def test_of_scores_and_ratios_in_which_nothing_differs_too(judged, pairs):
    text = judged("top1", pairs(0, 0, 100, 100), min_ratio=0.98).text
    assert asked(text) == pytest.approx(149, rel=0.05)
    assert judged("top1", pairs(0, 0, 160, 160), min_ratio=0.98).state is State.PASS
    clusters = judged("top1", pairs(0, 0, 200, 200, a_unit=10), max_drop=0.05)
    assert asked(clusters.text) == pytest.approx(20 * 0.139 / 0.05, rel=0.1)


def test_clusters_are_counted_in_units(judged, pairs):
    assert " units would settle it" in judged("top1", pairs(10, 0, 188, 200, a_unit=10), max_drop=0.06).text


def test_blocks_are_what_a_time_is_short_of(judged, timings):
    undecided = judged("latency_ms", timings(20.0, 10.0, spread=0.4), max_ratio=0.502)
    assert asked(undecided.text) > 20
    assert "blocks would settle it" in undecided.text


def test_a_count_is_never_undecided(judged):
    for value in (0.99999, 1.0, 1.00001):
        verdict = judged("size_mb", Exact(measured=value, measured_reference=2), max=1.0, max_ratio=0.5, max_rise=0)
        assert verdict.state is not State.INCONCLUSIVE
