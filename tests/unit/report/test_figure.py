import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge.verdict import Range, State, Verdict
from harness.measurement import Blocks
from harness.report.figure import Ratios, Strip, bar, ratios, round_steps, strip


def row(bound: dict[str, float], interval: tuple[str, float, float, float] | None = None, **given: float) -> Verdict:
    held = None
    if interval is not None:
        of, lower, estimate, upper = interval
        held = Range(of=of, estimate=estimate, lower=lower, upper=upper, confidence=0.95, method="exact")
    return Verdict(
        spec="s", label="x", metric="x", verdict=State.PASS, bound=bound, interval=held, sentence="x", **given
    )


def test_a_ratio_lies_on_a_line_from_nothing_to_beyond_one():
    drawn = bar(row({"max_ratio": 0.8}, ("ratio", 0.3, 0.4, 0.5)))
    end = 1.08  # 8 % beyond the farthest that is shown, which is 1: as float
    assert drawn.allowed == (0.0, pytest.approx(0.8 / end))
    assert drawn.limit == pytest.approx(0.8 / end)
    assert drawn.interval == (pytest.approx(0.3 / end), pytest.approx(0.5 / end))
    assert drawn.point == pytest.approx(0.4 / end)
    assert drawn.same == pytest.approx(1 / end)
    assert drawn.caption == "ratio 0.400, interval 0.300 to 0.500; at most 0.800 allowed"


def test_a_drop_shows_no_change_and_both_ends():
    drawn = bar(row({"max_drop": 0.02}, ("drop", -0.01, 0.005, 0.015)))
    low, high = -0.01 - 0.08 * 0.03, 0.02 + 0.08 * 0.03
    assert drawn.same == pytest.approx(-low / (high - low))
    assert drawn.limit == drawn.allowed[1] == pytest.approx((0.02 - low) / (high - low))
    assert drawn.allowed[0] == 0


def test_a_rise_is_a_drop_seen_from_the_other_side():
    rise, drop = (
        bar(row({name: 0.02}, ("drop", *ends)))
        for name, ends in (("max_rise", (-0.015, -0.005, 0.01)), ("max_drop", (-0.01, 0.005, 0.015)))
    )
    assert (rise.point, rise.interval, rise.limit) == (drop.point, drop.interval, drop.limit)
    assert rise.caption.startswith("rise 0.0050, interval -0.0100 to 0.0150")


def test_a_floor_allows_what_lies_above_it():
    drawn = bar(row({"min": 0.9}, ("value", 0.95, 0.97, 0.98)))
    assert drawn.allowed == (drawn.limit, 1.0)
    assert drawn.limit < drawn.interval[0] < drawn.point < drawn.interval[1] < 1
    assert drawn.same is None
    assert drawn.caption.endswith("at least 0.9000 allowed")


def test_without_an_interval_the_figure_is_held_to_its_absolute_bound():
    drawn = bar(row({"max": 3.0}, value=2.0, reference=8.0))
    end = 8.64
    assert (drawn.point, drawn.limit, drawn.same) == pytest.approx((2 / end, 3 / end, 8 / end))
    assert drawn.interval[0] == drawn.interval[1]
    assert drawn.caption == "value 2.000; at most 3.000 allowed"


def test_of_two_bounds_the_tighter_is_drawn():
    both = {"min_ratio": 0.1, "max_ratio": 0.5}
    assert "at most 0.500" in bar(row(both, ("ratio", 0.4, 0.4, 0.4))).caption
    assert "at least 0.100" in bar(row(both, ("ratio", 0.15, 0.15, 0.15))).caption


@pytest.mark.parametrize(
    "nothing",
    [
        row({}),
        row({"max_ratio": 0.5}),
        row({"reference_min": 0.9}, value=0.95, reference=0.96),
        row({"max_ratio": 0.5}, ("ratio", 0.1, math.inf, math.inf)),
        row({"max": 1.0}, value=math.nan),
    ],
)
def test_where_there_is_nothing_to_draw_nothing_is_drawn(nothing):
    assert bar(nothing) is None


FIGURES = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(
    st.sampled_from([("max_ratio", "ratio"), ("min_ratio", "ratio"), ("max_drop", "drop"), ("min", "value")]),
    st.tuples(FIGURES, FIGURES, FIGURES).map(sorted),
    FIGURES,
)
def test_everything_drawn_lies_on_the_line_and_in_the_shade_exactly_where_it_is_allowed(kind, ends, limit):
    name, of = kind
    drawn = bar(row({name: limit}, (of, *ends)))
    places = [*drawn.allowed, drawn.limit, *drawn.interval, drawn.point, *([] if drawn.same is None else [drawn.same])]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert drawn.interval[0] <= drawn.point <= drawn.interval[1]
    kept = ends[1] >= limit if name.startswith("min") else ends[1] <= limit
    shaded = drawn.allowed[0] - 1e-9 <= drawn.point <= drawn.allowed[1] + 1e-9
    assert shaded or not kept
    assert kept or drawn.point == pytest.approx(drawn.limit, abs=1e-9) or not shaded


def test_blocks_stand_at_their_heights_over_an_axis_from_nothing():
    drawn = strip(Blocks(reference=(4.0, 6.0, 5.0, 5.0), compressed=(2.0, 2.0, 2.0, 3.0), batch=8, load=0.25))
    floor, top = Strip.height - Strip.bottom, 6.0 * 1.08
    assert [height for _, height in drawn.reference] == [round(floor * (1 - v / top), 1) for v in (4.0, 6.0, 5.0, 5.0)]
    assert drawn.medians == (round(floor * (1 - 5 / top), 1), round(floor * (1 - 2 / top), 1))
    quarter = (Strip.width - Strip.left) / 4
    assert [across for across, _ in drawn.compressed] == [Strip.left + (index + 0.5) * quarter for index in range(4)]
    assert [text for _, text in drawn.ticks] == ["0", "2", "4", "6"]
    assert drawn.ticks[0][0] == floor
    assert drawn.caption == (
        "4 pairs of blocks at batch 8; median of the blocks: float 5.000 ms, compressed 2.000 ms; "
        "others took 25% of the processor meanwhile"
    )


def test_pairs_show_their_ratios_in_order_with_the_noise_floor_around_the_median():
    blocks = Blocks(reference=(4.0, 4.0, 5.0), control=(4.0, 6.0, 5.0), compressed=(2.0, 2.0, 3.0), batch=1, load=0.0,
                    noise=0.1, calls=(3, 5))  # fmt: skip
    assert blocks.ratios == (0.5, 0.4, 0.6)
    drawn, floor, top = ratios(blocks), Ratios.height - Ratios.bottom, 0.6 * 1.08
    assert [height for _, height in drawn.points] == [round(floor * (1 - v / top), 1) for v in (0.5, 0.4, 0.6)]
    assert drawn.median == drawn.points[0][1]
    assert drawn.noise == (round(floor * (1 - 0.55 / top), 1), round(floor * (1 - 0.5 / 1.1 / top), 1))
    assert drawn.caption == (
        "compressed ÷ float of each pair, median 0.500, from 0.400 to 0.600; float against float is known to 10.0%"
    )
    assert len(strip(blocks).control) == 3
    assert strip(blocks).caption.endswith("one reading of the clock spans 3 calls of float, 5 of compressed")


def test_pairs_without_a_control_are_held_to_float_alone():
    blocks = Blocks(reference=(4.0, 8.0), compressed=(2.0, 2.0), batch=1, load=0.0)
    assert (blocks.ratios, ratios(blocks).noise, strip(blocks).control) == ((0.5, 0.25), None, ())


def test_no_blocks_and_no_numbers_give_no_drawing():
    assert strip(Blocks(reference=(), compressed=(), batch=1, load=0.0)) is None
    assert strip(Blocks(reference=(1.0,), compressed=(math.nan,), batch=1, load=0.0)) is None


@pytest.mark.parametrize(
    ("top", "steps"),
    [
        (6.48, [0, 2, 4, 6]),
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0301, [0, 0.01, 0.02, 0.03]),
        (1200, [0, 500, 1000]),
    ],
)
def test_axes_have_round_steps(top, steps):
    assert list(round_steps(top)) == pytest.approx(steps)


@given(st.floats(1e-6, 1e9))
def test_axes_have_between_two_and_five_steps(top):
    steps = round_steps(top)
    assert steps[0] == 0
    assert 2 <= len(steps) - 1 <= 5
    assert steps[-1] <= top * (1 + 1e-9)
