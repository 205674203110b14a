from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import Unmeasurable
from harness.measurement import Timings, doubts
from harness.metrics.base import METRICS
from harness.run import timing
from harness.run.host import Host, Reading, processors, tick
from harness.spec.schema import Measure

READ_NS = 20


class Machine(Host):
    """A machine whose clock only moves by work and by being read: what the sampler computes is then known exactly."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []
        self.lost = 0
        self.others = 0.0
        self.second_clock: Callable[[], int] = lambda: self.now
        self.sources = itertools.repeat("tsc")

    def clock(self) -> int:
        self.now += READ_NS
        return self.now

    def preemptions(self) -> int:
        return self.lost

    def source(self) -> str:
        return next(self.sources)

    def second(self) -> int:
        return self.second_clock()

    def read(self) -> Reading:
        wall = self.now / 1e9
        return Reading(wall=wall, busy=wall * (1 + self.others), stolen=0.0, own=wall, waited=0.0)

    def work(self, name: str, durations: Callable[[], int], losing: Callable[[], bool] = lambda: False,
             dilated: float = 1.0) -> Callable[[], None]:  # fmt: skip
        """A call of that length; one that loses its processor takes `dilated` times as long."""

        def call() -> None:
            self.calls.append(name)
            lost = losing()
            self.lost += lost
            self.now += int(durations() * (dilated if lost else 1.0))

        return call


def sampled(
    machine: Machine, reference: Callable[[], None], compressed: Callable[[], None], limits: tuple[float, ...] = (),
    seconds: float = 60, control: Callable[[], None] | None = None, rate: bool = False,
    threads: int = 1,
) -> Timings:  # fmt: skip
    return timing.sample(
        reference, compressed, lambda figure: limits, Measure(latency_s=seconds, threads=threads), batch=4, rate=rate,
        progress=lambda text: None, clock=machine.clock, control=control, host=machine,
    )  # fmt: skip


def noisy(mean: int, seed: int, spread: float = 0.02) -> Callable[[], int]:
    draw = np.random.default_rng(seed)
    return lambda: int(mean * draw.lognormal(0, spread))


def steady(nanoseconds: int) -> Callable[[], int]:
    return lambda: nanoseconds


def test_ratio_of_known_work_is_found_and_decided_at_the_first_look() -> None:
    machine = Machine()
    found = sampled(machine, machine.work("A", noisy(4_000_000, 1)), machine.work("B", noisy(2_000_000, 2)), (0.8,))
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=0.02)
    assert found.n == timing.FIRST_BLOCKS
    assert found.value == pytest.approx(2.0, rel=0.02)
    assert found.calls == (1, 1)
    assert found.overhead == pytest.approx(READ_NS * 1.001)


def test_sampling_goes_on_while_the_limit_is_in_doubt() -> None:
    machine = Machine()
    slower = machine.work("B", noisy(3_200_000, 2, 0.05))
    found = sampled(machine, machine.work("A", noisy(4_000_000, 1, 0.05)), slower, (0.81,))
    assert found.n >= 2 * timing.FIRST_BLOCKS


@pytest.mark.parametrize(("spread", "blocks"), [(0.02, 1), (0.6, timing.PATIENCE)])
def test_a_rough_ratio_is_made_finer_for_a_while_though_its_limit_is_decided(spread: float, blocks: int) -> None:
    machine = Machine()
    sides = [machine.work("A", noisy(4_000_000, 1, spread)), machine.work("B", noisy(2_000_000, 2, spread))]
    found = sampled(machine, *sides, (9.0,))
    assert found.n == blocks * timing.FIRST_BLOCKS
    ratio = found.ratio(0.95)
    assert (ratio.upper / ratio.estimate < 1 + timing.ROUGH) is (spread == 0.02)


def test_milliseconds_are_limits_too_at_the_time_that_float_takes_here() -> None:
    """3.2 of 4 ms: a limit of 3.24 ms, or a rise of −0.76 ms, is a ratio of 0.81, and doubtful at the first look."""
    for rate, bounds in ((False, {"max": 3.24}), (True, {"min": 4 / 3.24e-3}), (False, {"max": 99.0})):
        machine = Machine()
        budget = METRICS["throughput_fps" if rate else "latency_ms"](**bounds)
        found = timing.sample(
            machine.work("A", noisy(4_000_000, 1, 0.05)), machine.work("B", noisy(3_200_000, 2, 0.05)),
            budget.ratio_limits, Measure(latency_s=60), batch=4, rate=rate, progress=lambda text: None,
            clock=machine.clock, host=machine,
        )  # fmt: skip
        assert (found.n >= 2 * timing.FIRST_BLOCKS) is (99.0 not in bounds.values())


def test_sampling_ends_at_the_seconds_that_may_be_spent() -> None:
    machine = Machine()
    same = [machine.work(name, steady(4_000_000)) for name in "AB"]
    # Four readings of float, three of compressed and one call before each block take 40 ms, and ten such pairs 0.4 s.
    assert sampled(machine, *same, (1.0,), seconds=1.3).n == 3 * timing.FIRST_BLOCKS
    assert sampled(machine, *same, (1.0,)).n == timing.MAX_LOOKS * timing.FIRST_BLOCKS


@pytest.mark.parametrize(("least_s", "pairs"), [(0.0, 10), (0.4, 10), (2.0, 50), (60.0, 75)])
def test_a_first_look_can_be_put_off_as_far_as_the_seconds_allow(least_s: float, pairs: int) -> None:
    machine = Machine()
    calls = machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000))
    # A pair takes 0.04 s, as it is planned and as it comes.
    found = timing.sample(
        *calls, lambda figure: (0.9,), Measure(latency_s=3), batch=1, rate=False, progress=lambda text: None,
        clock=machine.clock, host=machine, least_s=least_s,
    )  # fmt: skip
    assert found.n == pytest.approx(pairs, abs=5)
    assert found.n >= pairs


def test_a_look_that_would_end_past_the_seconds_is_not_begun() -> None:
    machine = Machine()
    # Every other reading is lost and taken again, at ten times its length: a look takes 3 s, planned as 0.4 s.
    turns = {name: itertools.cycle([True, False]) for name in "AB"}
    calls = [
        machine.work(name, steady(4_000_000), losing=lambda name=name: next(turns[name]), dilated=10) for name in "AB"
    ]
    started = machine.now
    found = sampled(machine, *calls, (1.0,), seconds=10)
    assert found.n == 3 * timing.FIRST_BLOCKS
    assert (machine.now - started) / 1e9 < 10 + 5 * timing.WARM_UP_S


def test_blocks_alternate_and_the_control_takes_turns_with_float() -> None:
    machine = Machine()
    sides = {name: machine.work(name, steady(20_000_000)) for name in "ABC"}
    sampled(machine, sides["A"], sides["B"], control=sides["C"])
    assert machine.calls[-3 * timing.FIRST_BLOCKS :] == [*"ABCCBA"] * (timing.FIRST_BLOCKS // 2)


def test_calls_on_caches_that_the_other_model_filled_are_not_read() -> None:
    machine = Machine()

    def cold(name: str, nanoseconds: int, since: list[int]) -> Callable[[], int]:
        """Twice as long right after another model ran, and half as much again the time after."""

        def duration() -> int:
            others = machine.calls[-2:-1] != [name]
            since[0] = 0 if others else since[0] + 1
            return int(nanoseconds * (2.0, 1.5, 1.0)[min(2, since[0])])

        return duration

    sides = [
        machine.work(name, cold(name, ns, [0])) for name, ns in (("A", 1_400_000), ("B", 700_000), ("C", 1_400_000))
    ]
    found = sampled(machine, sides[0], sides[1], control=sides[2])
    for blocks, warm in ((found.floats, 1_400_000), (found.blocks, 700_000)):
        assert np.unique(blocks).tolist() == [warm + READ_NS]


def test_drift_that_both_sides_share_leaves_the_ratio_alone_and_is_seen() -> None:
    machine = Machine()
    slow = itertools.count()

    def drifting(mean: int) -> Callable[[], int]:
        return lambda: int(mean * (1 + next(slow) / 2000))

    found = sampled(machine, machine.work("A", drifting(4_000_000)), machine.work("B", drifting(2_000_000)))
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=0.02)
    assert 0.02 < found.drift < 0.2


def test_two_equal_models_that_differ_set_the_noise_floor() -> None:
    machine = Machine()
    sides = [machine.work("A", noisy(4_000_000, 1)), machine.work("B", noisy(2_000_000, 2))]
    equal = sampled(machine, *sides, control=machine.work("C", noisy(4_000_000, 3)))
    apart = sampled(machine, *sides, control=machine.work("C", noisy(4_400_000, 3)))
    assert doubts.noise_floor(equal, 0.95) < 0.03
    assert 0.08 < doubts.noise_floor(apart, 0.95) < 0.13
    # Float is then what both make of it together.
    assert apart.reference == pytest.approx(4.2, rel=0.02)


def test_readings_that_lost_their_processor_are_taken_again() -> None:
    machine = Machine()
    turn, other = itertools.cycle([True, False, False]), itertools.cycle([False, True, True])
    found = sampled(
        machine,
        machine.work("A", steady(4_000_000), losing=lambda: next(turn), dilated=10),
        machine.work("B", steady(2_000_000), losing=lambda: next(other), dilated=10),
    )
    assert found.disturbed == 0
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=1e-3)


def test_where_every_reading_loses_its_processor_they_are_kept_and_counted() -> None:
    machine = Machine()
    found = sampled(
        machine, machine.work("A", steady(4_000_000), losing=lambda: True, dilated=10),
        machine.work("B", steady(2_000_000)),
    )  # fmt: skip
    assert found.disturbed == 1
    assert found.ratio(0.95).estimate == pytest.approx(0.05, rel=1e-3)


def test_a_short_call_is_repeated_until_a_reading_spans_enough() -> None:
    machine = Machine()
    found = sampled(machine, machine.work("A", steady(40_000)), machine.work("B", steady(20_000)), (0.8,))
    # A hundred microseconds a reading; the clock's own 20 ns are then shared by 3 and 5 calls.
    assert found.calls == (3, 5)
    assert found.details == {"calls_a_reading_reference": 3, "calls_a_reading": 5}
    assert found.value == pytest.approx(0.020004)
    assert found.ratio(0.95).estimate == pytest.approx(20_004 / (40_000 + 20 / 3))


def test_a_call_that_is_mostly_calling_is_unmeasurable() -> None:
    def nothing() -> None:
        return None

    with pytest.raises(Unmeasurable, match="what can be timed is the calling; time a larger batch"):
        timing.sample(
            nothing, nothing, (), Measure(), batch=1, rate=False, progress=lambda text: None,
            clock=time.perf_counter_ns,
        )  # fmt: skip


def test_a_coarse_clock_needs_long_readings_or_refuses() -> None:
    machine = Machine()
    coarse = 1_000_000

    def clock() -> int:
        machine.now += READ_NS
        return machine.now // coarse * coarse

    def run(nanoseconds: int, seconds: float) -> Timings:
        call = machine.work("A", steady(nanoseconds))
        return timing.sample(
            call, call, lambda figure: (), Measure(latency_s=seconds), batch=1, rate=False, progress=lambda text: None,
            clock=clock, host=machine,
        )  # fmt: skip

    with pytest.raises(Unmeasurable, match=r"clock moves in steps of 1 ms, which takes 30 s to time this model with"):
        run(50_000_000, 10)
    assert run(50_000_000, 60).calls == (20, 20)


def test_a_clock_that_stands_still_is_unmeasurable() -> None:
    machine = Machine()
    with pytest.raises(Unmeasurable, match="the clock stood still over"):
        timing.sample(
            lambda: 0, lambda: 0, lambda figure: (), Measure(), batch=1, rate=False, progress=lambda text: None,
            clock=lambda: 7, host=machine,
        )  # fmt: skip


def test_a_clock_that_goes_backwards_is_unmeasurable() -> None:
    machine = Machine()
    back = itertools.chain([False] * 20, itertools.repeat(True))

    def call() -> None:
        machine.now += -5_000_000 if next(back) else 4_000_000

    with pytest.raises(Unmeasurable, match="stood still or went backwards during a call"):
        sampled(machine, call, machine.work("B", steady(1_000_000)))


def test_a_clock_that_the_kernel_changed_is_unmeasurable() -> None:
    machine = Machine()
    machine.sources = itertools.chain(["tsc"], itertools.repeat("hpet"))
    with pytest.raises(Unmeasurable, match="changed its clock from tsc to hpet"):
        sampled(machine, machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000)))


def test_more_threads_than_processors_are_unmeasurable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.timing.processors", lambda: frozenset({0, 1}))
    machine = Machine()
    calls = machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000))
    assert sampled(machine, *calls, threads=2).n > 0
    with pytest.raises(Unmeasurable, match=r"measure\.threads is 3, and this process may run on 2 processors: its thr"):
        sampled(machine, *calls, threads=3)


def test_two_clocks_that_disagree_are_unmeasurable() -> None:
    machine = Machine()
    machine.second_clock = lambda: int(machine.now * 1.1)
    with pytest.raises(Unmeasurable, match="went by on the clock that times"):
        sampled(machine, machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000)))


def test_the_load_of_others_is_measured_while_sampling() -> None:
    machine = Machine()
    calls = machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000))
    assert sampled(machine, *calls).load == 0
    machine.others = 0.5 * len(processors())
    assert sampled(machine, *calls).load == pytest.approx(0.5)


def test_load_that_stays_is_not_waited_for_until_the_cap_and_a_burst_is_outweighed() -> None:
    machine, cores = Machine(), len(processors())
    calls = machine.work("A", steady(4_000_000)), machine.work("B", steady(2_000_000))
    # Others who take half of all may move 0.5 up to 0.5875.
    machine.others = 0.5 * cores
    stayed = sampled(machine, *calls, (0.55,))
    assert stayed.n == timing.PATIENCE * timing.FIRST_BLOCKS
    assert doubts.undecided(stayed, [0.55], 0.95) == "outside"
    burst = Machine()
    calls = burst.work("A", steady(4_000_000)), burst.work("B", steady(2_000_000))
    others = itertools.chain([0.0, 0.11], itertools.repeat(0.11))
    counted = burst.read

    def read() -> Reading:
        # Others worked for 0.11 s of all cores before the first look, and not since: 28 % of 0.4 s.
        return replace(counted(), busy=counted().wall + next(others) * cores)

    burst.read = read  # type: ignore[method-assign]
    outweighed = sampled(burst, *calls, (0.54,))
    assert outweighed.n == 2 * timing.FIRST_BLOCKS
    assert doubts.undecided(outweighed, [0.54], 0.95) == ""


def test_the_garbage_collector_is_left_as_it_was() -> None:
    machine = Machine()
    assert gc.isenabled()
    sampled(machine, machine.work("A", steady(5_000_000)), machine.work("B", steady(5_000_000)))
    assert gc.isenabled()


def test_a_rate_is_the_inverse_of_a_time() -> None:
    machine = Machine()
    calls = machine.work("A", steady(4_000_000 - READ_NS)), machine.work("B", steady(2_000_000 - READ_NS))
    found, rate = (sampled(machine, *calls, rate=each) for each in (False, True))
    assert rate.value == pytest.approx(4 / 0.002, rel=1e-4)
    assert rate.ratio(0.95).estimate == pytest.approx(2.0, rel=1e-4)
    assert found.ratio(0.95).estimate == pytest.approx(0.5, rel=1e-4)
    # Decided at the first look where the ratio is far from the limit, and not on it.
    assert sampled(machine, *calls, (1.5,), rate=True).n == timing.FIRST_BLOCKS
    assert sampled(machine, *calls, (2.0,), rate=True).n == timing.MAX_LOOKS * timing.FIRST_BLOCKS


def test_a_clock_that_goes_backwards_between_two_readings_is_unmeasurable() -> None:
    readings = itertools.chain([5, 4], itertools.count(6))
    with pytest.raises(Unmeasurable, match="the clock went backwards between two readings"):
        tick(lambda: next(readings))
