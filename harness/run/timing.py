"""The latency sampler: two callables in alternating blocks, until every limit on their ratio is decided."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Timings, doubts
from harness.run.host import Clock, Clocks, Host, Load, processors, tick
from harness.spec.schema import Measure
from harness.statistics import Interval, Looks

Call = Callable[[], object]

# A block is long against the clock's resolution and short against drifts of the machine.
BLOCK_NS = 12e6
MOST_READINGS = 200
# The first calls of a block run on caches that the other model has filled: so long they are called without being read.
# Longer calls than a block fill their caches anew each time anyway, or hardly notice.
SETTLE_NS = 3e6
# One reading of the clock spans so much: as many calls as it takes, and so many steps of the clock at least.
READING_NS, READING_TICKS = 100_000, 1000
FIRST_BLOCKS, MAX_LOOKS = 10, 8
# Looks after which a verdict that only load from outside keeps back is given up, and a ratio stays as rough as it is.
PATIENCE = 3
# A decided ratio whose bounds are farther off than this share is still rough: a later doubt would move all of it.
ROUGH = 0.05
# A reading during which the process lost its processor is taken again, this many readings for each that is wanted.
ATTEMPTS = 4
WARM_UP_S = 0.3
# Steady: the median of the last calls is within this share of the one before.
STEADY = 0.03
# A call that takes less than so many empty ones is mostly the calling.
LEAST_WORK, EMPTY_CALLS = 2.0, 1000


def sample(
    reference: Call, compressed: Call, limits: Callable[[float], Sequence[float]], measure: Measure, *,
    batch: int, rate: bool, progress: Callable[[str], None], clock: Clock,
    control: Call | None = None, host: Host | None = None, least_s: float = 0.0,
) -> Timings:  # fmt: skip
    """Time both calls in alternating blocks, after a warm-up, with the garbage collector off.

    A pair of blocks is float, compressed, float; the second float block is the control, and takes turns with the first
    in coming first (ABCCBA). Float and control are one model, so what sets them apart is the noise of this run. What a
    block spends on filling the caches anew is not kept.

    Args:
        reference: one inference of the float model.
        compressed: one inference of the compressed model.
        limits: from the reference's figure, a time or a rate, to limits on compressed ÷ reference of it; sampling stops
            when all are decided and the ratio is no rough one, or at the cap.
        measure: the seconds that may be spent, and the confidence.
        batch: samples a call; passed on to the result.
        rate: whether the figure is a rate; passed on to the result.
        progress: told how far it is.
        clock: nanoseconds, monotonic.
        control: one inference of the float model, prepared anew; `reference` itself where it is None.
        host: tells what others did meanwhile.
        least_s: seconds that go by before the first look, as far as `measure` allows: what comes and goes within them
            is then seen.

    Raises:
        Unmeasurable: the clock cannot be trusted, or a call is too short for it.
    """
    require_processors(measure.threads)
    host = host or Host()
    step = tick(clock)
    warm = _warm((reference, compressed), clock)
    plan = _plan(warm, step, measure.latency_s)
    empty = _empty(clock)
    floats = [_Side(reference, plan[0], clock, host), _Side(control or reference, plan[0], clock, host)]
    middle = _Side(compressed, plan[1], clock, host)
    # What a pair of blocks takes decides how many looks the time allows.
    pair_s = (2 * plan[0].nanoseconds(warm[0]) + plan[1].nanoseconds(warm[1])) / 1e9
    first = max(FIRST_BLOCKS, math.ceil(min(least_s, measure.latency_s) / pair_s))
    looks = int(min(MAX_LOOKS, max(1, measure.latency_s / (pair_s * first))))
    rule = Looks(measure.confidence, most=looks, first_blocks=first)
    # Said where it is so: no tail can be told from readings over several calls.
    repeats = {"calls_a_reading_reference": plan[0].repeats, "calls_a_reading": plan[1].repeats}
    details = {name: float(calls) for name, calls in repeats.items() if calls > 1}
    clocks, start = Clocks(clock, host), host.read()
    timings: Timings | None = None
    with _quiet_collector():
        for planned, level in zip(rule.schedule, rule.confidences, strict=True):
            for pair in range(len(middle.blocks), planned):
                progress(f"timing, {pair + 1} of at most {rule.schedule[-1]} pairs of blocks")
                for side in (floats[pair % 2], middle, floats[1 - pair % 2]):
                    side.block()
            clocks.check()
            end = host.read()
            load = Load.between(start, end)
            timings = Timings(
                blocks_reference=floats[0].array, blocks_control=floats[1].array, blocks=middle.array, batch=batch,
                rate=rate, load=load.others, stolen=load.stolen, waited=load.waited,
                disturbed=max(side.disturbed for side in (*floats, middle)),
                calls=(plan[0].repeats, plan[1].repeats),
                overhead=empty + step / min(side.repeats for side in plan), level=level, details=details,
            )  # fmt: skip
            _require_work(timings, empty)
            open_for = doubts.undecided(timings, limits(timings.reference), measure.confidence)
            settled = not open_for and not _rough(timings.ratio(measure.confidence))
            # A burst of load is soon outweighed; what is still there after some looks will not be gone after more.
            given_up = open_for != "noise" and planned >= PATIENCE * first
            # Beside others a look takes longer than was planned.
            next_ends = (end.wall - start.wall) * (planned + first) / planned
            if settled or given_up or next_ends > measure.latency_s:
                break
    assert timings is not None
    return timings


def require_processors(threads: int) -> None:
    """Threads that take the processor from each other look like other work; calls without that are no fair sample.

    Raises:
        Unmeasurable: there are more than the process may use processors.
    """
    if threads > (there_are := len(processors())):
        raise Unmeasurable(
            f"measure.threads is {threads}, and this process may run on {there_are} processors: its threads would wait "
            "for each other, and the times would be of that"
        )


def _rough(ratio: Interval) -> bool:
    return ratio.upper > ratio.lower * (1 + ROUGH) ** 2


def _require_work(timings: Timings, empty: float) -> None:
    for name, blocks in (("float", timings.floats), ("compressed", timings.blocks)):
        if (one := float(np.median(blocks))) < LEAST_WORK * empty:
            raise Unmeasurable(
                f"a call of the {name} model takes {one:.0f} ns, and an empty one {empty:.0f} ns: what can be timed is "
                "the calling; time a larger batch"
            )


@dataclass(frozen=True)
class _Plan:
    """How one side's block is read: so many readings of the clock, each over so many calls."""

    readings: int
    repeats: int
    settles: bool

    def nanoseconds(self, one: float) -> float:
        """What a block takes when a call takes `one`."""
        settling = max(SETTLE_NS, one * self.repeats) if self.settles else 0.0
        return settling + one * self.readings * self.repeats


def _plan(warm: Sequence[float], step: int, latency_s: float) -> tuple[_Plan, _Plan]:
    """The plans of float (a half block) and compressed, whose calls take `warm` nanoseconds."""
    span = max(READING_NS, READING_TICKS * step)
    repeats = [max(1, math.ceil(span / one)) if one < span else 1 for one in warm]
    readings = [one * count for one, count in zip(warm, repeats, strict=True)]
    least_s = (2 * readings[0] + readings[1]) * FIRST_BLOCKS / 1e9
    if span > READING_NS and max(repeats) > 1 and least_s > latency_s:
        raise Unmeasurable(
            f"this machine's clock moves in steps of {step / 1e6:g} ms, which takes {least_s:.0f} s to time this model "
            f"with, and measure.latency_s is {latency_s:g}: raise it, or time a larger batch"
        )
    shares = (BLOCK_NS / 2, BLOCK_NS)
    counts = [min(MOST_READINGS, max(1, math.ceil(share / one))) for share, one in zip(shares, readings, strict=True)]
    settles = [one < BLOCK_NS for one in readings]
    return _Plan(counts[0], repeats[0], settles[0]), _Plan(counts[1], repeats[1], settles[1])


class _Side:
    """One callable and the blocks that were timed of it."""

    def __init__(self, call: Call, plan: _Plan, clock: Clock, host: Host) -> None:
        self._call, self._plan, self._clock, self._host = call, plan, clock, host
        self._disturbed = 0
        self.blocks: list[list[float]] = []

    def _settle(self) -> None:
        spent = 0.0
        while spent < SETTLE_NS:
            spent += _reading(self._call, self._plan.repeats, self._clock) * self._plan.repeats

    def block(self) -> None:
        """Time one block: readings that were disturbed are taken again, and kept only where no others could be had."""
        if self._plan.settles:
            self._settle()
        wanted, kept, spoiled = self._plan.readings, [], []
        for _ in range(ATTEMPTS * wanted):
            before = self._host.preemptions()
            nanoseconds = _reading(self._call, self._plan.repeats, self._clock)
            if self._host.preemptions() == before:
                kept.append(nanoseconds)
                if len(kept) == wanted:
                    break
            else:
                spoiled.append(nanoseconds)
        missing = wanted - len(kept)
        self._disturbed += missing
        self.blocks.append(kept + spoiled[:missing])

    @property
    def array(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Nanoseconds a call, shape (blocks, readings)."""
        return np.asarray(self.blocks, dtype=np.float64)

    @property
    def disturbed(self) -> float:
        """The share of the readings that were kept though they were disturbed."""
        return self._disturbed / (len(self.blocks) * self._plan.readings)


def _reading(call: Call, repeats: int, clock: Clock) -> float:
    """Nanoseconds a call, from one reading of the clock before and one after so many calls."""
    if repeats == 1:
        start = clock()
        call()
        spent = clock() - start
    else:
        start = clock()
        for _ in itertools.repeat(None, repeats):
            call()
        spent = clock() - start
    if spent <= 0:
        raise Unmeasurable("the clock stood still or went backwards during a call: its times mean nothing")
    return spent / repeats


def _empty(clock: Clock) -> float:
    """Nanoseconds of an empty call, from readings over many of them."""

    def nothing() -> None:
        return None

    spans = []
    for _ in range(5):
        start = clock()
        for _ in itertools.repeat(None, EMPTY_CALLS):
            nothing()
        spans.append(clock() - start)
    return statistics.median(spans) / EMPTY_CALLS


def _warm(calls: Sequence[Call], clock: Clock) -> list[float]:
    """Call in turn until all times are steady; the least nanoseconds of each one's last calls: undisturbed ones."""
    started, before = clock(), [math.inf for _ in calls]
    while True:
        times = [[_reading(call, 1, clock) for _ in range(5)] for call in calls]
        medians = [statistics.median(own) for own in times]
        steady = all(abs(now / then - 1) < STEADY for now, then in zip(medians, before, strict=True))
        spent = (clock() - started) / 1e9
        if spent > WARM_UP_S and (steady or spent > 5 * WARM_UP_S):
            return [min(own) for own in times]
        before = medians


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """No garbage collection while the clock runs."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
