"""A figure that is read several times: its bounds are its readings, and none of them is left out."""

import math
from itertools import combinations

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.measurement import Exact, Measurement, Readings

# The order in which they came is not that of their size.
MEASURED = Readings(figures_reference=(100.0, 98.0, 104.0), figures=(50.0, 52.0, 49.0))


def test_figures_are_medians_and_bounds_the_least_and_the_greatest_reading():
    assert (MEASURED.value, MEASURED.reference, MEASURED.n, MEASURED.exact) == (50.0, 100.0, None, False)
    assert MEASURED.extent == "3 readings"
    ours, theirs = MEASURED.alone(), MEASURED.alone(reference=True)
    assert (ours.lower, ours.estimate, ours.upper) == (49.0, 50.0, 52.0)
    assert (theirs.lower, theirs.estimate, theirs.upper) == (98.0, 100.0, 104.0)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_a_ratio_reaches_from_the_least_over_the_greatest_to_the_greatest_over_the_least(confidence):
    ratio, drop = MEASURED.ratio(confidence), MEASURED.drop(confidence)
    assert (ratio.lower, ratio.estimate, ratio.upper) == (49 / 104, 0.5, 52 / 98)
    assert (drop.lower, drop.estimate, drop.upper) == (46.0, 50.0, 55.0)


def test_an_interval_carries_the_confidence_that_so_many_readings_come_to_whatever_is_asked_for():
    assert MEASURED.alone().confidence == 1 - 1 / 8
    # Six readings with the same noise, three of them called compressed: how often the ratio's upper bound is below 1.
    below = [set(ours) == {0, 1, 2} for ours in combinations(range(6), 3)]
    assert (sum(below), len(below)) == (1, 20)
    assert MEASURED.ratio(0.999).confidence == MEASURED.drop(0.5).confidence == pytest.approx(0.95)
    once = Readings(figures_reference=(2.0,), figures=(1.0,))
    assert (once.ratio(0.95).confidence, once.alone().confidence) == (0.5, 0.5)


def test_a_ratio_to_nothing_is_no_number():
    assert math.isnan(Readings(figures_reference=(0.0, 1.0), figures=(1.0, 1.0)).ratio(0.95).estimate)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_reading_that_is_no_number_leaves_none(broken):
    measured = Readings(figures_reference=(1.0, 1.0, 1.0), figures=(1.0, broken, 1.0))
    assert math.isnan(measured.value)
    assert measured.reference == 1.0


def test_every_reading_comes_back_and_none_is_no_measurement():
    any_kind = TypeAdapter(Measurement)
    back = any_kind.validate_json(any_kind.dump_json(MEASURED))
    assert back == MEASURED
    assert back.figures_reference == (100.0, 98.0, 104.0)
    for figures in ({"figures": (), "figures_reference": (1.0,)}, {"figures": (1.0,), "figures_reference": ()}):
        with pytest.raises(ValidationError, match="at least 1 item"):
            any_kind.validate_python({"kind": "readings", **figures})


def test_what_is_read_once_stands_alone_without_width():
    size = Exact(measured=3.0, measured_reference=12.0)
    assert (size.alone().lower, size.alone().upper, size.repeated) == (3.0, 3.0, False)
    assert (size.alone(reference=True).lower, size.alone(reference=True).upper) == (12.0, 12.0)
