"""What is read several times: a bound is kept by every reading, broken by every one, or left open between them."""

import math

import pytest

from harness.judge.baseline import Accepted, CaseBaseline, Machine, accept
from harness.judge.case import verdict
from harness.judge.regression import compare
from harness.judge.standing import Standing
from harness.judge.verdict import Place, State, Verdict
from harness.measurement import Exact, Readings
from harness.metrics.base import METRICS
from harness.run.environment import environment
from harness.run.result import Result
from harness.spec.schema import Spec

PASS, FAIL, INVALID, INCONCLUSIVE, NOT_RUN = (
    State.PASS, State.FAIL, State.INVALID, State.INCONCLUSIVE, State.NOT_RUN,
)  # fmt: skip
MEMORY = "peak_memory_mb"
FLOAT, COMPRESSED = (100.0, 98.0, 104.0), (50.0, 52.0, 49.0)
SMALLER = Readings(figures_reference=FLOAT, figures=COMPRESSED)
LARGER = Readings(figures_reference=COMPRESSED, figures=FLOAT)
ASTRIDE = "; the readings lie on both sides of the limit"
ANYTHING = "anything, and nothing is tolerated"


@pytest.mark.parametrize(
    ("measured", "bounds", "state"),
    [
        # The greatest compressed over the least float keeps it, the least over the greatest breaks it.
        (SMALLER, {"max_ratio": 52 / 98}, PASS),
        (SMALLER, {"max_ratio": math.nextafter(52 / 98, 0)}, INCONCLUSIVE),
        # One reading a side would have passed, or failed, these two by luck.
        (SMALLER, {"max_ratio": 0.51}, INCONCLUSIVE),
        (SMALLER, {"max_ratio": 0.49}, INCONCLUSIVE),
        (SMALLER, {"max_ratio": 49 / 104}, INCONCLUSIVE),
        (SMALLER, {"max_ratio": math.nextafter(49 / 104, 0)}, FAIL),
        (LARGER, {"min_ratio": 98 / 52, "max_ratio": 3}, PASS),
        (LARGER, {"min_ratio": 2, "max_ratio": 3}, INCONCLUSIVE),
        (LARGER, {"min_ratio": 2.2, "max_ratio": 3}, FAIL),
        (SMALLER, {"max": 52}, PASS),
        (SMALLER, {"max": 51.9}, INCONCLUSIVE),
        (SMALLER, {"max": 49}, INCONCLUSIVE),
        (SMALLER, {"max": 48.9}, FAIL),
        (SMALLER, {"max": 60, "min": 49}, PASS),
        (SMALLER, {"max": 60, "min": 50}, INCONCLUSIVE),
        (SMALLER, {"max": 60, "min": 52.1}, FAIL),
        (LARGER, {"max_rise": 55}, PASS),
        (LARGER, {"max_rise": 54.9}, INCONCLUSIVE),
        (LARGER, {"max_rise": 46}, INCONCLUSIVE),
        (LARGER, {"max_rise": 45.9}, FAIL),
        (SMALLER, {"max": 60, "reference_max": 104}, PASS),
        (SMALLER, {"max": 60, "reference_max": 100}, INCONCLUSIVE),
        (SMALLER, {"max": 60, "reference_max": 97.9}, INVALID),
        (SMALLER, {"max": 60, "reference_min": 98}, PASS),
        (SMALLER, {"max": 60, "reference_min": 104.1}, INVALID),
    ],
)
def test_every_reading_has_to_keep_a_bound_or_every_one_to_break_it(judged, measured, bounds, state):
    assert judged(MEMORY, measured, **bounds).state is state
    # No confidence that a spec asks for makes readings of what was not read.
    assert judged(MEMORY, measured, confidence=0.999, **bounds).state is state


@pytest.mark.parametrize(
    ("measured", "bounds", "sentence"),
    [
        (SMALLER, {"max_ratio": 0.54}, "50.00 vs float 100.0, ratio 0.500 [0.471, 0.531], limit 0.540 → PASS"),
        (
            SMALLER,
            {"max_ratio": 0.5},
            f"50.00 vs float 100.0, ratio 0.500 [0.471, 0.531], limit 0.500{ASTRIDE} → INCONCLUSIVE",
        ),
        (SMALLER, {"max_ratio": 0.45}, "50.00 vs float 100.0, ratio 0.500 [0.471, 0.531], limit 0.450 → FAIL"),
        (SMALLER, {"max": 53}, "50.00 vs float 100.0, readings 49.00 to 52.00, max 53.00 → PASS"),
        (SMALLER, {"max": 50}, f"50.00 vs float 100.0, readings 49.00 to 52.00, max 50.00{ASTRIDE} → INCONCLUSIVE"),
        (SMALLER, {"max": 48}, "50.00 vs float 100.0, readings 49.00 to 52.00, above max 48.00 → FAIL"),
        (LARGER, {"max_rise": 60}, "100.0 vs float 50.00, rise 50.00 [46.00, 55.00], limit 60.00 → PASS"),
        (
            LARGER,
            {"max_rise": 50},
            f"100.0 vs float 50.00, rise 50.00 [46.00, 55.00], limit 50.00{ASTRIDE} → INCONCLUSIVE",
        ),
        (LARGER, {"max_rise": 40}, "100.0 vs float 50.00, rise 50.00 [46.00, 55.00], limit 40.00 → FAIL"),
        (
            SMALLER,
            {"reference_max": 100},
            "50.00 vs float 100.0, the float model itself has peak_memory_mb 98.00 to 104.0, reference_max 100.0"
            f"{ASTRIDE} → INCONCLUSIVE",
        ),
    ],
)
def test_the_sentence_shows_the_readings_and_says_where_the_limit_lies(judged, measured, bounds, sentence):
    assert judged(MEMORY, measured, **bounds).sentence == sentence


def test_the_interval_of_a_row_says_what_its_readings_are_worth(judged):
    value, ratio = (judged(MEMORY, SMALLER, **bound).findings[0].interval for bound in ({"max": 60}, {"max_ratio": 1}))
    assert (value.of, value.lower, value.estimate, value.upper) == ("value", 49.0, 50.0, 52.0)
    assert (value.confidence, value.method) == (0.875, "least and greatest reading")
    assert (ratio.of, ratio.confidence) == ("ratio", pytest.approx(0.95))


def test_megabytes_of_another_machine_are_not_enforced(judged):
    elsewhere = judged(MEMORY, SMALLER, place=Place(False, "no baseline"), max=10.0, reference_max=10.0)
    assert elsewhere.state is NOT_RUN
    assert elsewhere.text == (
        "reference_max 10.00 MB is not enforced here (no baseline); max 10.00 MB is not enforced here (no baseline)"
    )


def compared(now, **bounds):
    metric, measured = METRICS[MEMORY](max_ratio=1.0, **bounds), Readings(figures_reference=FLOAT, figures=now)
    return compare(metric, measured, accept(metric, SMALLER, "x86", 0.95), 0.95, "x86")


@pytest.mark.parametrize(
    ("now", "bounds", "state", "words"),
    [
        # Accepted: 50, and up to 52; 15 % of 50 are 7.5.
        ((60.0, 61.0, 59.6), {}, FAIL, "worse than the baseline 50.00 by more than 15 %"),
        ((60.0, 61.0, 59.5), {}, PASS, "not proven to be within 15 % of the baseline 50.00"),
        ((57.0, 59.6, 58.0), {}, PASS, "not proven to be within 15 % of the baseline 50.00"),
        ((57.0, 59.5, 58.0), {}, PASS, ""),
        # And down to 49.
        ((41.0, 41.5, 40.0), {}, PASS, ""),
        ((41.0, 41.4, 40.0), {}, PASS, "better than the baseline 50.00: --update-baselines tightens it"),
        ((53.0, 52.1, 54.0), {"regress": 0}, FAIL, f"worse than the baseline 50.00 by {ANYTHING}"),
        ((53.0, 52.0, 54.0), {"regress": 0}, PASS, "not proven to be within 0 % of the baseline 50.00"),
    ],
)
def test_a_regression_is_what_every_reading_of_both_runs_says(now, bounds, state, words):
    finding = compared(now, **bounds)
    assert (finding.state, finding.text, finding.bound) == (state, words, "regress")
    assert finding.straddles is words.startswith("not proven")
    assert finding.gain is words.startswith("better")


def test_a_baseline_keeps_the_median_and_the_least_and_the_greatest_reading():
    kept = accept(METRICS[MEMORY](max_ratio=1.0), SMALLER, "x86", 0.95)
    assert kept == Accepted(
        metric=MEMORY, metric_version=2, value=50.0, reference=100.0, kernels="x86", reach=(49.0, 52.0)
    )
    assert Accepted.model_validate_json(kept.model_dump_json()) == kept


def test_a_baseline_of_one_reading_is_of_another_version():
    before = Accepted.model_validate(
        {"metric": MEMORY, "metric_version": 1, "value": 50.0, "reference": 100.0, "kernels": "x86"}
    )
    assert before.reach is None
    finding = compare(METRICS[MEMORY](max_ratio=1.0), SMALLER, before, 0.95, "x86")
    assert finding.state is INVALID
    assert finding.text.startswith(
        "the baseline holds peak_memory_mb version 1, this is peak_memory_mb version 2: accept it anew"
    )


@pytest.mark.parametrize(
    ("edited", "between"),
    [({"value": 1000.0}, ("1,000", "49.00 and 52.00")), ({"reach": (60.0, 90.0)}, ("50.00", "60.00 and 90.00"))],
)
def test_a_baseline_whose_figure_is_not_among_its_readings_compares_with_nothing(edited, between):
    """Edited by hand: a share of the one was tolerated on top of the other, which let twice the memory pass."""
    metric = METRICS[MEMORY](max_ratio=3.0)
    sound = accept(metric, SMALLER, "x86", 0.95)
    assert compare(metric, LARGER, sound, 0.95, "x86").state is FAIL
    found = compare(metric, LARGER, sound.model_copy(update=edited), 0.95, "x86")
    assert (found.state, found.bound) == (INVALID, "regress")
    figure, reach = between
    assert found.text.startswith(f"the baseline says {figure}, and its readings lie between {reach}: was it edited")


def test_a_count_hides_between_no_readings():
    """Written into its baseline by hand they would let it grow as far as they reach."""
    metric, size = METRICS["size_mb"](max=60.0), Exact(measured=50.0, measured_reference=100.0)
    sound = accept(metric, size, "x86", 0.95)
    assert sound.reach is None
    found = compare(metric, size, sound.model_copy(update={"reach": (49.0, 5000.0)}), 0.95, "x86")
    assert found.state is INVALID
    assert found.text.startswith("the baseline holds another kind of measurement: accept it anew")


def row(limit: float, standing: Standing | None = None) -> Verdict:
    spec = Spec.model_validate(
        {
            "version": 1, "task": "image-classification", "model": {"source": "zoo", "name": "lenet5-digits"},
            "compress": [{"method": "float16"}], "budgets": {MEMORY: {"max": limit, "max_ratio": 0.6}},
        }
    )  # fmt: skip
    result = Result(spec="mine", measurements={MEMORY: SMALLER}, kernels="x86", environment=environment())
    kept = {MEMORY: accept(spec.budgets[MEMORY], SMALLER, "x86", 0.95)}
    here = CaseBaseline(machines={"here": Machine(environment={}, threads=1, labels=kept)})
    return verdict(spec, result, MEMORY, standing or Standing(here, "here"))


def test_a_row_of_readings():
    kept, left_open = row(53.0), row(51.0)
    assert kept.sentence == (
        "peak_memory_mb: 50.00 vs float 100.0, readings 49.00 to 52.00, max 53.00 (exact match); ratio 0.500 [0.471, "
        "0.531], limit 0.600 → PASS"
    )
    assert (kept.value, kept.reference, kept.n) == (50.0, 100.0, None)
    assert Verdict.model_validate_json(kept.model_dump_json()) == kept
    assert left_open.sentence.startswith(
        f"peak_memory_mb: 50.00 vs float 100.0, readings 49.00 to 52.00, max 51.00 (exact match){ASTRIDE}; ratio 0.500"
    )
    assert left_open.found == {"max": INCONCLUSIVE, "max_ratio": PASS}
    # Its own noise: to read it again until it comes out one way would spend error unseen.
    assert (left_open.verdict, left_open.disturbed, left_open.doubted) == (INCONCLUSIVE, False, False)
    assert row(53.0, Standing(None, "elsewhere")).found == {"max": NOT_RUN, "max_ratio": PASS}
