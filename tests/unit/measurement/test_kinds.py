"""What the judge asks of every kind of measurement, whichever it is."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from harness.measurement import MEASUREMENTS, Base, Exact, Labels, Measurement, Pairs, Timings
from harness.statistics import needed_n

UNITS = np.arange(200)


def pairs(lost: int, won: int, *, a_unit: int = 1) -> Pairs:
    reference, compressed = np.ones(200, bool), np.ones(200, bool)
    compressed[:lost] = False
    reference[lost : lost + won] = False
    return Pairs(outcomes_reference=reference, outcomes=compressed, units=UNITS // a_unit, data="d")


def test_what_a_baseline_keeps_is_said_by_the_kind():
    kept = {name: part.kept for name, part in MEASUREMENTS.items()}
    assert {name: what for name, what in kept.items() if what != "outcomes"} == {"exact": "value", "timings": "ratio"}
    assert [name for name, part in MEASUREMENTS.items() if part.timed] == ["timings"]
    assert [name for name, part in MEASUREMENTS.items() if part.exact] == ["exact"]


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


def test_a_kind_is_read_back_as_itself_and_an_unknown_one_is_refused():
    any_kind: TypeAdapter[Base] = TypeAdapter(Measurement)
    back = any_kind.validate_json(any_kind.dump_json(pairs(6, 2)))
    assert isinstance(back, Pairs)
    assert back.drop(0.95) == pairs(6, 2).drop(0.95)
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        any_kind.validate_python({"kind": "guess"})
