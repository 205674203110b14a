"""The latency sampler: two callables in alternating blocks, until every limit on their ratio is decided."""

from __future__ import annotations

import gc
import math
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.errors import Unmeasurable
from harness.measurement import Timings
from harness.spec.schema import Measure
from harness.statistics import SequentialRatio

Call = Callable[[], object]
Clock = Callable[[], int]

# A block is long against the clock's resolution and short against drifts of the machine.
BLOCK_NS = 12e6
MIN_CALLS, MAX_CALLS = 1, 200
FIRST_BLOCKS, MAX_LOOKS = 10, 8
WARM_UP_S = 0.3
# Steady: the median of the last calls is within this share of the one before.
STEADY = 0.03


def sample(
    reference: Call, compressed: Call, limits: Sequence[float], measure: Measure, *,
    batch: int, rate: bool, progress: Callable[[str], None], clock: Clock,
) -> Timings:  # fmt: skip
    """Time both calls in blocks that alternate ABBA, after a warm-up, with the garbage collector off.

    Args:
        reference: one inference of the float model.
        compressed: one inference of the compressed model.
        limits: limits on compressed ÷ reference; sampling stops when all are decided, or at the cap.
        measure: the seconds that may be spent, and the confidence.
        batch: samples a call; passed on to the result.
        rate: whether the figure is a rate; passed on to the result.
        progress: told how far it is.
        clock: nanoseconds, monotonic.

    Raises:
        Unmeasurable: the clock goes backwards or a call takes no measurable time.
    """
    typical = [_warm(call, clock) for call in (reference, compressed)]
    calls = [int(min(MAX_CALLS, max(MIN_CALLS, math.ceil(BLOCK_NS / one)))) for one in typical]
    # What a pair of blocks takes decides how many looks the time allows.
    pair_s = sum(one * count for one, count in zip(typical, calls, strict=True)) / 1e9
    looks = int(min(MAX_LOOKS, max(1, measure.latency_s / (pair_s * FIRST_BLOCKS))))
    rule = SequentialRatio(limits, measure.confidence, looks=looks, first_blocks=FIRST_BLOCKS)
    blocks: tuple[list[list[int]], list[list[int]]] = ([], [])
    with _quiet_collector(), _Load() as load:
        for planned in rule.schedule:
            for pair in range(len(blocks[0]), planned):
                for side in (0, 1) if pair % 2 == 0 else (1, 0):
                    blocks[side].append(_block((reference, compressed)[side], calls[side], clock))
                progress(f"timing, {pair + 1} of at most {rule.schedule[-1]} pairs of blocks")
            arrays = tuple(np.asarray(side, dtype=np.float64) for side in blocks)
            look = rule.look(arrays[0], arrays[1])
            if look.state != "continue":
                break
    return Timings(
        blocks_reference=arrays[0], blocks=arrays[1], batch=batch, rate=rate,
        load=load.share, level=look.interval.confidence,
    )  # fmt: skip


def _block(call: Call, calls: int, clock: Clock) -> list[int]:
    times = []
    for _ in range(calls):
        start = clock()
        call()
        times.append(clock() - start)
    if min(times) <= 0:
        raise Unmeasurable("the clock stood still or went backwards during a call: its times mean nothing")
    return times


def _warm(call: Call, clock: Clock) -> float:
    """Call until the times are steady; the median nanoseconds of the last calls."""
    started, before = time.monotonic(), math.inf
    while True:
        times = [_block(call, 1, clock)[0] for _ in range(5)]
        median = float(np.median(times))
        spent = time.monotonic() - started
        if spent > WARM_UP_S and (abs(median / before - 1) < STEADY or spent > 5 * WARM_UP_S):
            return median
        before = median


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


class _Load:
    """The share of this machine's processor time that others took (stolen time included) while the block ran."""

    def __enter__(self) -> _Load:
        self.share = 0.0
        self._start = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        end = self._read()
        if self._start is None or end is None:
            return
        busy, own, wall = (end[index] - self._start[index] for index in range(3))
        if wall > 0:
            self.share = max(0.0, (busy - own) / (wall * (os.cpu_count() or 1)))

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        user, nice, system, _idle, _wait, irq, soft, steal = fields
        own = resource.getrusage(resource.RUSAGE_SELF)
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        return busy, own.ru_utime + own.ru_stime, time.monotonic()
