"""How far off a ratio of times may be, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge.baseline import Accepted
from harness.judge.bounds import judge
from harness.judge.regression import compare
from harness.judge.verdict import Place, State, overall
from harness.measurement import Timings, doubts
from harness.measurement.doubts import AGAIN, Doubt, by_others
from harness.metrics.latency_ms import LatencyMs

FLOAT, HALF = np.full((20, 10), 4e6), np.full((20, 10), 2e6)


def times(reference: np.ndarray = FLOAT, compressed: np.ndarray = HALF, **more: object) -> Timings:
    return Timings.model_validate({"blocks_reference": reference, "blocks": compressed, **more})


def verdict(measured: Timings, limit: float, place: Place | None = None) -> tuple[State, str]:
    found = judge(LatencyMs(max_ratio=limit), measured, 0.95, place)
    return overall(found), found[0].text


def test_an_undisturbed_run_of_equal_readings_is_in_no_doubt() -> None:
    # But for the clock's own step of a nanosecond.
    assert all(doubt.reach < 1e-5 for doubt in doubts.found(times(blocks_control=FLOAT), 0.95))
    assert verdict(times(blocks_control=FLOAT), 0.5001)[0] is State.PASS


def test_a_limit_nearer_than_float_is_to_itself_is_inconclusive() -> None:
    # The control reads 5 % more: what the run makes of two equal models is 1.05.
    noisy = times(blocks_control=1.05 * FLOAT)
    assert doubts.noise_floor(noisy, 0.95) == pytest.approx(0.05, rel=1e-3)
    # Float's median lies between both, so the ratio is 0.488.
    state, text = verdict(noisy, 0.505)
    assert state is State.INCONCLUSIVE
    assert "float against float is known to 5.0% in this run, and the limit is no farther off" in text
    assert verdict(noisy, 0.47)[0] is State.INCONCLUSIVE
    assert verdict(noisy, 0.515)[0] is State.PASS
    assert verdict(noisy, 0.46)[0] is State.FAIL


def test_a_limit_nearer_than_an_empty_call_is_inconclusive() -> None:
    # Two microseconds, and 70 ns to call and to read the clock: 3.5 %.
    short = times(FLOAT / 1000, HALF / 1000, overhead=70.0)
    state, text = verdict(short, 0.515)
    assert state is State.INCONCLUSIVE
    assert "the limit is nearer than the 70 ns of an empty call: time a larger batch" in text
    assert verdict(short, 0.52)[0] is State.PASS
    # Two milliseconds do not mind.
    assert verdict(times(overhead=70.0), 0.501)[0] is State.PASS


def test_a_limit_nearer_than_float_drifted_is_inconclusive() -> None:
    slower = np.concatenate([np.ones(10), np.full(10, 1.1)])[:, None]
    drifting = times(FLOAT * slower, HALF * slower)
    assert drifting.drift == pytest.approx(0.1)
    state, text = verdict(drifting, 0.53)
    assert state is State.INCONCLUSIVE
    assert "the float model became 10.0% slower while it was timed" in text
    assert verdict(drifting, 0.56)[0] is State.PASS


@pytest.mark.parametrize(("waited", "least"), [(1 / 3, 0.75), (0.9, 5.0)])
def test_disturbed_readings_reach_as_far_as_the_waiting_stretched_them(waited: float, least: float) -> None:
    # A process that waits a third of the time takes 1.5 times as long: one side may be stretched and the other not.
    waiting = times(waited=waited, disturbed=0.2)
    state, text = verdict(waiting, least - 0.01)
    assert state is State.INCONCLUSIVE
    assert "in 20% of the readings others took the processor in between" in text
    assert verdict(waiting, least + 0.01)[0] is State.PASS
    # As long as readings could be had that did not wait, waiting is no matter.
    assert verdict(times(waited=waited, disturbed=0.05), 0.51)[0] is State.PASS


def test_others_reach_by_what_they_took() -> None:
    (doubt,) = doubts.found(times(load=0.4), 0.95)
    assert doubt.reach == pytest.approx(0.14)
    assert "others took 40% of the processor" in doubt.because


def test_where_the_quickest_readings_tell_another_ratio_the_difference_is_added() -> None:
    # Contention stretches nine of ten float readings by a fifth; the quick ones tell 0.5, the medians 0.417.
    stretched = FLOAT.copy()
    stretched[:, 2:] *= 1.2
    slowed = times(stretched, HALF, load=0.1)
    assert doubts.disagreement(slowed) == pytest.approx(math.log(1.2))
    (doubt,) = (each for each in doubts.found(slowed, 0.95) if each.reach > 0.1)
    # Where the quick ones are; away from them only what others took is in doubt.
    assert (doubt.below, doubt.above) == pytest.approx((0.035, 0.2 + 0.035))
    assert "the quickest readings tell a ratio that is 20.0% off" in doubt.because
    assert verdict(slowed, 0.5)[0] is State.INCONCLUSIVE
    assert verdict(slowed, 0.417 / 1.03)[0] is State.INCONCLUSIVE
    assert verdict(slowed, 0.417 / 1.04)[0] is State.FAIL
    assert verdict(slowed, 0.52)[0] is State.PASS


def test_of_a_rate_the_quickest_readings_point_the_other_way() -> None:
    stretched = FLOAT.copy()
    stretched[:, 2:] *= 1.2
    # The compressed model is 2.4 × as quick, and 2 × by the quick readings.
    (doubt,) = (each for each in doubts.found(times(stretched, HALF, rate=True), 0.95) if each.reach > 0.1)
    assert doubt.below == pytest.approx(0.2)
    assert doubt.above == 0


def test_a_float_model_off_its_own_baseline_withholds_what_that_could_turn() -> None:
    # The ratio is 0.5, and 40 % slower may move it by 14 %.
    place = Place(slower=0.4)
    state, text = verdict(times(), 0.565, place)
    assert state is State.INCONCLUSIVE
    assert "the float model runs 40% slower than where its baseline was accepted" in text
    assert verdict(times(), 0.575, place)[0] is State.PASS
    assert verdict(times(), 0.435, place)[0] is State.FAIL


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**31), ratio=st.floats(0.1, 2), spread=st.floats(0, 0.3), shift=st.floats(0.7, 1.4),
    load=st.floats(0, 1), waited=st.floats(0, 1), disturbed=st.floats(0, 1), overhead=st.floats(0, 1e6),
    limit=st.floats(0.05, 3), tighter=st.floats(0.2, 1), rate=st.booleans(),
)  # fmt: skip
def test_no_doubt_ever_turns_fail_into_pass_when_the_limit_is_tightened(
    seed: int, ratio: float, spread: float, shift: float, load: float, waited: float, disturbed: float,
    overhead: float, limit: float, tighter: float, rate: bool,
) -> None:  # fmt: skip
    from harness.metrics.throughput_fps import ThroughputFps

    draw = np.random.default_rng(seed)
    sides = [scale * 1e6 * np.exp(spread * draw.standard_normal((6, 4))) for scale in (10, 10 * shift, 10 * ratio)]
    measured = times(
        sides[0], sides[2], blocks_control=sides[1], load=load, waited=waited, disturbed=disturbed, overhead=overhead,
        rate=rate,
    )  # fmt: skip
    order = [State.PASS, State.INCONCLUSIVE, State.FAIL]
    budgets = [
        ThroughputFps(min_ratio=1 / bound) if rate else LatencyMs(max_ratio=bound) for bound in (limit, limit * tighter)
    ]
    states = [overall(judge(budget, measured, 0.95)) for budget in budgets]
    assert order.index(states[1]) >= order.index(states[0])
    # And the sampler goes on exactly where the judge cannot say.
    bound = 1 / limit if rate else limit
    assert bool(doubts.undecided(measured, [bound], 0.95)) is (states[0] is State.INCONCLUSIVE)


def test_noise_without_bound_leaves_everything_open() -> None:
    once = times(FLOAT[:1], HALF[:1], blocks_control=FLOAT[:1])
    assert doubts.noise_floor(once, 0.95) == math.inf
    assert verdict(once, 0.9)[0] is State.INCONCLUSIVE


def test_what_others_did_asks_for_another_take_where_it_reaches_beyond_its_own_noise() -> None:
    """Their load widens the noise between float and float, too."""
    near, far = (Doubt(reach, reach, "", whole=True) for reach in (0.02, 0.1))
    load = Doubt(0.05, 0.05, "", whole=True, outside=True)
    assert [by_others(some) for some in ([load], [load, near], [load, far], [near], [])] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("noise", "again"), [(1.0, True), (1.013, True), (1.021, False)], ids=["quiet", "less than the drift", "more"]
)
def test_a_drift_asks_for_another_take_where_it_reaches_beyond_the_noise(noise: float, again: bool) -> None:
    """Float drifts by 1.6 %, which covers the limit and what the baseline tolerates; so does its own noise, or not."""
    shape = (1 + 0.016 * (np.arange(20) >= 10)[:, None]) * (1 + 0.002 * np.linspace(-1, 1, 10)[None, :])
    floats = FLOAT * shape / np.sqrt(noise)
    # The median over float and its control is half of the noise above float.
    measured = times(floats, 0.74 * FLOAT * shape, blocks_control=noise * floats)
    assert measured.drift == pytest.approx(0.016, abs=0.002)
    held, metric = measured.ratio(0.95), LatencyMs(max_ratio=0.748)
    tolerated = 0.732 / (1 + metric.tolerance)
    accepted = Accepted(
        metric="latency_ms", metric_version=1, value=2.6, reference=4.0, kernels="x86",
        ratio=(tolerated, tolerated, tolerated),
    )  # fmt: skip
    assert 0.732 < held.lower < held.upper < 0.748
    (kept,), worse = judge(metric, measured, 0.95), compare(metric, measured, accepted, 0.95, "x86")
    for finding in (kept, worse):
        assert (finding.state, finding.disturbed, finding.doubted) == (State.INCONCLUSIVE, again, True)
        assert (f"float against float is known to {noise - 1:.1%} in this run" in finding.text) is (noise > 1)
        assert AGAIN in finding.text
