"""What the sampler must know of the machine while it samples: its clocks, and who else was at work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.errors import Unmeasurable

try:
    import resource
except ImportError:  # a system without it tells of no preemption, and its load detection must do
    resource = None  # type: ignore[assignment]

Clock = Callable[[], int]

_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
STEPS, MOST_READINGS = 20, 500_000
# Systems count processor time in steps of a hundredth of a second: so much of it moves every counter.
COUNTED_S = 0.1
# Two clocks of one machine agree to parts in a million; past this share, one of them was set, slewed or stopped.
DISAGREEMENT, DISAGREEMENT_NS = 0.01, 5e6


@dataclass(frozen=True)
class Reading:
    """Counters of the machine and of this process, all in seconds.

    Attributes:
        wall: by the second clock.
        busy: processor time that anything took of the processors at hand, stolen time included; None where the system
            does not tell.
        stolen: processor time of those that the hypervisor gave to others.
        own: processor time of this process.
        waited: time that threads of this process were ready and had to wait for a processor.
    """

    wall: float
    busy: float | None
    stolen: float
    own: float
    waited: float


class Host:
    """This machine, as the kernel tells of it."""

    def preemptions(self) -> int:
        """How often a processor was taken from this process before it gave it up."""
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw) if resource is not None else 0

    def source(self) -> str:
        """What the kernel makes its clock from; empty where it does not tell."""
        try:
            return _SOURCE.read_text().strip()
        except OSError:
            return ""

    def second(self) -> int:
        """Nanoseconds of a clock that is not the one that times: it runs on while the machine is suspended."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time_ns()

    def read(self) -> Reading:
        """The counters now."""
        busy, stolen = _busy()
        return Reading(self.second() / 1e9, busy, stolen, time.process_time(), _waited())


def processors() -> frozenset[int]:
    """Those that this process may run on: a container or `taskset` may leave it few of a large machine's."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _busy() -> tuple[float | None, float]:
    """What was taken of the processors that this process may run on: nobody else's are in its way."""
    try:
        every = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, ValueError):
        return None, 0.0
    ours = processors()
    # Some sandboxes list fewer than there are.
    spent = [one for number, one in enumerate(every) if number in ours] if len(every) > max(ours) else every
    # What guests took is in the time of users already, and waiting for a disk takes no processor.
    others = ("idle", "iowait", "guest", "guest_nice")
    stolen = sum(float(getattr(one, "steal", 0.0)) for one in spent)
    return sum(sum(one) - sum(getattr(one, name, 0.0) for name in others) for one in spent), stolen


def _waited() -> float:
    """Over all threads, the second figure of schedstat: nanoseconds on a run queue without running."""
    total = 0
    try:
        for thread in Path("/proc/self/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return total / 1e9
    return total / 1e9


@dataclass(frozen=True)
class Load:
    """What others took while the block ran, as shares.

    Attributes:
        others: of the time of the processors that this process may run on, by anything else; 0 on an idle machine.
        stolen: of the same, by the hypervisor.
        waited: of the wall time, by waiting for a processor.
    """

    others: float
    stolen: float
    waited: float

    @classmethod
    def between(cls, start: Reading, end: Reading) -> Load:
        """What was taken between two readings.

        Raises:
            Unmeasurable: the system does not tell.
        """
        wall = end.wall - start.wall
        if wall <= 0:
            return cls(0.0, 0.0, 0.0)
        own = end.own - start.own
        # Some sandboxes have the counters and leave them where they are.
        if start.busy is None or end.busy is None or (end.busy == start.busy and own > COUNTED_S):
            raise Unmeasurable(
                "this system does not tell what others take of its processors, so times that they spoiled cannot be "
                "told from sound ones"
            )
        cores = len(processors())
        others = max(0.0, (end.busy - start.busy) - own) / (wall * cores)
        return cls(
            min(1.0, others), max(0.0, end.stolen - start.stolen) / (wall * cores), (end.waited - start.waited) / wall
        )


def tick(clock: Clock) -> int:
    """The smallest step that a clock was seen to take, in nanoseconds: its resolution, or what reading it costs.

    Raises:
        Unmeasurable: it goes backwards, or stands still.
    """
    steps: list[int] = []
    before = clock()
    for _ in range(MOST_READINGS):
        now = clock()
        if now < before:
            raise Unmeasurable("the clock went backwards between two readings: its times mean nothing")
        if now > before:
            steps.append(now - before)
            if len(steps) == STEPS:
                break
        before = now
    if not steps:
        raise Unmeasurable(f"the clock stood still over {MOST_READINGS:,} readings: its times mean nothing")
    return min(steps)


class Clocks:
    """Holds the clock that times to a second one, from here until `check`."""

    def __init__(self, clock: Clock, host: Host) -> None:
        self._clock, self._host = clock, host
        self._source, self._started = host.source(), self._pair()

    def check(self) -> None:
        """Refuse what was timed if the clock cannot have been right.

        Raises:
            Unmeasurable: the kernel changed what it makes its clock from, or two clocks disagree.
        """
        source = self._host.source()
        if source != self._source:
            raise Unmeasurable(
                f"the kernel changed its clock from {self._source} to {source} while it was read: times before and "
                "after do not compare"
            )
        (first, second, third), (last, second_last, end) = self._started, self._pair()
        # This process may have been stopped between the readings of a pair, which makes no clock wrong.
        least, most, theirs = last - third, end - first, second_last - second
        allowed = max(DISAGREEMENT * most, DISAGREEMENT_NS)
        if not least - allowed <= theirs <= most + allowed:
            raise Unmeasurable(
                f"{most / 1e9:.3f} s went by on the clock that times, and {theirs / 1e9:.3f} s on another of this "
                "machine: one was set, or the machine was suspended"
            )

    def _pair(self) -> tuple[int, int, int]:
        """The clock that times, the second one, and the first again."""
        return self._clock(), self._host.second(), self._clock()
