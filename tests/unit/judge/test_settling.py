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
