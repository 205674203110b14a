import math

import pytest

from harness.judge.figures import about, apart, measured_text, number, percent, ratio_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.9622, "0.9622"), (0.02, "0.0200"), (0.00756, "0.0076"), (-0.0076, "-0.0076"), (0.5, "0.5000"),
        (1.0, "1.000"), (11.384, "11.38"), (44.78, "44.78"), (999.4, "999.4"), (1072.3, "1,072"), (1e6, "1,000,000"),
        (0.00042, "0.00042"), (0.0000123, "1.2e-05"), (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"),
        (21.318, "21.32"), (9.9999, "10.000"), (0.001, "0.0010"),
    ],
)  # fmt: skip
def test_numbers_show_what_can_matter(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(13.62, "13.6"), (0.4071, "0.407"), (133.4, "133"), (0.01234, "0.0123"), (2367.2, "2,367")]
)
def test_times_show_three_digits(value, shown):
    assert measured_text(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.407, "0.407"), (0.8, "0.800"), (9.87, "9.870"), (16.62, "16.6")])
def test_ratios_show_three_decimals(value, shown):
    assert ratio_text(value) == shown


def test_what_looks_equal_is_told_apart():
    assert apart(0.84999, 0.85) == " (under by 1.0e-05)"
    assert apart(0.85004, 0.85) == " (over by 4.0e-05)"
    assert apart(0.85, 0.85) == ""
    assert apart(0.86, 0.85) == ""
    assert apart(0.8504, 0.85) == ""
    assert apart(0.8504, 0.85, ratio_text) == " (over by 4.0e-04)"
    assert apart(math.inf, 0.85) == ""


@pytest.mark.parametrize(
    ("count", "shown"), [(7, "7"), (41.2, "42"), (598, "600"), (9342, "9,400"), (1_234_567, "1,300,000")]
)
def test_forecasts_are_rounded_up_to_two_digits(count, shown):
    assert about(count) == shown


def test_confidence_is_a_percentage():
    assert (percent(0.95), percent(0.975)) == ("95 %", "97.5 %")
