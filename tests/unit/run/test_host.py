"""What this machine tells of itself."""

import itertools
import os
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import Unmeasurable
from harness.run.host import Clocks, Host, Load, Reading, processors, tick

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells")


def test_the_step_of_a_clock_is_the_smallest_that_it_was_seen_to_take() -> None:
    steps = itertools.cycle([300, 100, 200])
    now = itertools.accumulate(steps)
    assert tick(lambda: next(now)) == 100


def test_a_clock_that_moves_rarely_shows_its_step() -> None:
    count = itertools.count()
    assert tick(lambda: next(count) // 1000 * 15_600_000) == 15_600_000


def test_a_clock_that_goes_backwards_is_refused() -> None:
    now = itertools.chain([5, 6, 4], itertools.count(7))
    with pytest.raises(Unmeasurable, match="backwards"):
        tick(lambda: next(now))


@linux
def test_this_machines_clock_is_fine_enough_and_holds_against_its_second_one() -> None:
    assert 0 < tick(time.perf_counter_ns) < 100_000
    clocks = Clocks(time.perf_counter_ns, Host())
    time.sleep(0.02)
    clocks.check()


@linux
def test_work_of_this_process_is_its_own_and_sleep_is_nobodys() -> None:
    host = Host()
    before = host.read()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    after = host.read()
    assert after.own - before.own >= 0.05
    assert after.wall - before.wall >= 0.05
    assert after.waited >= before.waited
    assert host.source()


def test_shares_are_worked_out_from_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.host.processors", lambda: frozenset({0, 1}))
    start = Reading(wall=10.0, busy=100.0, stolen=1.0, own=5.0, waited=0.5)
    load = Load.between(start, Reading(wall=12.0, busy=103.0, stolen=1.4, own=6.5, waited=1.0))
    # Of four seconds of two cores, three were busy and half of those were ours.
    assert (load.others, load.stolen, load.waited) == pytest.approx((1.5 / 4, 0.1, 0.25))


@linux
def test_what_anything_took_is_what_the_kernel_counts() -> None:
    user, nice, system, _idle, _wait, irq, soft, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    told = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    busy = Host().read().busy
    assert busy is not None
    # Sums of hundredths, of each processor and of all, read one after the other.
    assert told - 0.01 * 7 * len(processors()) <= busy <= told + 1


def test_a_system_that_tells_of_no_waiting_still_tells_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    # What psutil has on macOS.
    spent = namedtuple("scputimes", "user nice system idle")(5.0, 0.5, 2.0, 100.0)
    monkeypatch.setattr("psutil.cpu_times", lambda percpu: [spent])
    reading = Host().read()
    assert (reading.busy, reading.stolen) == (7.5, 0.0)


def test_only_the_processors_at_hand_count_on_a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of 64 are ours, as `docker run --cpuset-cpus=0,1` has it, and a neighbour keeps one of the two busy."""
    times, taken = namedtuple("scputimes", "user system idle steal"), [0.0] * 64
    monkeypatch.setattr("psutil.cpu_times", lambda percpu: [times(one, 0.0, 100.0, 0.0) for one in taken])
    monkeypatch.setattr("harness.run.host.processors", lambda: frozenset({0, 1}))
    host = Host()
    before = host.read()
    taken[1], taken[40] = 2.0, 2.0
    after = replace(host.read(), wall=before.wall + 2.0, own=before.own)
    assert Load.between(before, after).others == pytest.approx(0.5)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no processor can be chosen")
def test_the_processors_at_hand_are_those_of_the_affinity() -> None:
    all_of_them = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(all_of_them)})
        assert processors() == {min(all_of_them)}
    finally:
        os.sched_setaffinity(0, all_of_them)


@pytest.mark.parametrize("busy", [None, 100.0])
def test_times_are_refused_where_nothing_tells_what_others_took(busy: float | None) -> None:
    start = Reading(wall=10.0, busy=busy, stolen=0.0, own=5.0, waited=0.0)
    with pytest.raises(Unmeasurable, match="does not tell what others take"):
        Load.between(start, replace(start, wall=12.0, own=6.0))
    assert Load.between(start, start) == Load(0.0, 0.0, 0.0)


def test_a_counter_that_had_no_time_to_move_is_none_that_stands_still() -> None:
    start = Reading(wall=10.0, busy=100.0, stolen=0.0, own=5.0, waited=0.0)
    assert Load.between(start, replace(start, wall=10.01, own=5.01)).others == 0
