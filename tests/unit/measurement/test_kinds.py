"""What the judge asks of every kind of measurement, whichever it is."""

from typing import ClassVar, Literal

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from harness.gate.runner import _busy
from harness.measurement import MEASUREMENTS, Base, Exact, Labels, Measurement, Pairs, Timings
from harness.statistics import Interval, needed_n

UNITS = np.arange(200)


def pairs(lost: int, won: int, *, a_unit: int = 1) -> Pairs:
    reference, compressed = np.ones(200, bool), np.ones(200, bool)
    compressed[:lost] = False
    reference[lost : lost + won] = False
    return Pairs(outcomes_reference=reference, outcomes=compressed, units=UNITS // a_unit, data="d")


def test_what_a_baseline_keeps_is_said_by_the_kind():
    kept = {name: part.kept for name, part in MEASUREMENTS.items()}
    assert {name: what for name, what in kept.items() if what != "outcomes"} == {
        "exact": "value", "readings": "value", "timings": "ratio",
    }  # fmt: skip
    assert [name for name, part in MEASUREMENTS.items() if part.timed] == ["timings"]
    assert [name for name, part in MEASUREMENTS.items() if part.exact] == ["exact"]
    assert [name for name, part in MEASUREMENTS.items() if part.repeated] == ["readings"]


def test_a_tally_counts_what_changed_where_each_sample_is_right_or_wrong():
    assert pairs(6, 2).tally(higher_is_better=True) == "6 lost, 2 won of 200"
    # What became 0 where less is better was won.
    assert pairs(6, 2).tally(higher_is_better=False) == "2 lost, 6 won of 200"
    assert pairs(6, 2, a_unit=10).tally(higher_is_better=True) == "over 200 samples of 20 units"


def test_more_is_needed_as_the_square_of_the_interval_over_the_gap():
    measured = pairs(6, 2, a_unit=10)
    held = measured.drop(0.95)
    assert (measured.counted_in, pairs(6, 2).counted_in) == ("units", "samples")
    limit = held.estimate + (held.upper - held.estimate) / 2
    assert measured.needed(held, limit, drop=True) == pytest.approx(20 * 4)
    assert measured.needed(held, held.estimate, drop=True) == np.inf
    # Of proportions the number that settles is known better; of their ratio it is not.
    single = pairs(1, 0)
    wanted, ours = needed_n(0.02, 0.95, 1 / 200, 1 / 200), single.drop(0.95)
    assert single.needed(ours, 0.02, drop=False) < single.needed(ours, 0.02, drop=True) == wanted


def test_only_times_are_doubted_beyond_their_interval():
    busy = Timings(blocks_reference=np.full((20, 9), 4e6), blocks=np.full((20, 9), 2e6), load=0.5)
    assert [doubt.outside for doubt in busy.doubts(0.95)][:1] == [True]
    assert pairs(6, 2).doubts(0.95, slower=0.5) == []
    assert Exact(measured=1, measured_reference=2).doubts(0.95, slower=0.5) == []


def test_a_report_says_right_and_wrong_of_answers_that_are_either_and_of_no_score():
    scores = pairs(6, 2).model_copy(update={"outcomes": np.linspace(0, 1, 200), "outcomes_reference": np.ones(200)})
    assert pairs(6, 2).changed == ("float right, compressed wrong", "float wrong, compressed right")
    assert scores.changed == ("lower than float", "higher than float")


def test_columns_are_what_a_table_holds():
    assert {name: side[:7].tolist() for name, side in pairs(6, 2).columns.items()} == {
        "unit": [*range(7)], "float": [1, 1, 1, 1, 1, 1, 0], "compressed": [0, 0, 0, 0, 0, 0, 1],
    }  # fmt: skip
    classes = UNITS % 3
    named = Labels(
        statistic="f1", targets=classes, labels_reference=classes, labels=classes[::-1], units=UNITS, data="d"
    )
    assert list(named.columns) == ["unit", "target", "float", "compressed"]
    assert Exact(measured=1, measured_reference=2).columns == {}
    # `verdict` has no place for how far scores reach, and would find another interval: these titles it takes for none.
    scores = Pairs(outcomes_reference=UNITS / 200, outcomes=UNITS / 200, units=UNITS, data="d")
    assert list(scores.columns) == ["unit", "float", "compressed"]
    bounded = scores.model_copy(update={"reach": 1.0})
    assert list(bounded.columns) == ["unit", "float_score", "compressed_score", "reach"]


def test_a_kind_is_read_back_as_itself_and_an_unknown_one_is_refused():
    any_kind: TypeAdapter[Base] = TypeAdapter(Measurement)
    back = any_kind.validate_json(any_kind.dump_json(pairs(6, 2)))
    assert isinstance(back, Pairs)
    assert back.drop(0.95) == pairs(6, 2).drop(0.95)
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        any_kind.validate_python({"kind": "guess"})


class Laps(Base):
    """A kind of times that another distribution might bring."""

    timed: ClassVar[bool] = True
    kind: Literal["laps"] = "laps"
    busy: float = 0.0

    @property
    def value(self):
        return 1.0

    @property
    def reference(self):
        return 2.0

    def drop(self, confidence):
        return Interval(1.0, 1.0, 1.0, confidence, "exact")

    def others(self):
        return self.busy


@pytest.mark.parametrize(("busy", "is_it"), [(0.04, False), (0.06, True)])
def test_times_of_any_kind_that_were_taken_beside_others_are_no_yardstick(busy, is_it):
    assert (_busy(Laps(busy=busy)), Laps(busy=busy).unsettled()) == (is_it, is_it)
    ours = Timings(blocks_reference=np.full((20, 9), 4e6), blocks=np.full((20, 9), 2e6), load=busy)
    assert (_busy(ours), ours.unsettled()) == (is_it, is_it)
    assert not _busy(pairs(6, 2))
    assert not _busy(None)


@pytest.mark.parametrize(("doubt", "is_it"), [({}, False), ({"stolen": 0.06}, True), ({"disturbed": 0.11}, True)])
def test_times_that_were_moved_in_another_way_are_unsettled_too(doubt, is_it):
    ours = Timings(blocks_reference=np.full((20, 9), 4e6), blocks=np.full((20, 9), 2e6), **doubt)
    assert (_busy(ours), ours.unsettled()) == (False, is_it)


def test_the_course_of_times_is_a_median_a_block():
    blocks = np.repeat([[2e6], [3e6]], 3, axis=1)
    course = Timings(blocks_reference=2 * blocks, blocks=blocks, load=0.5, batch=4).course()
    assert (course.reference, course.compressed, course.load, course.noise) == ((4.0, 6.0), (2.0, 3.0), 0.5, None)
    assert (Laps().course(), pairs(6, 2).course()) == (None, None)
