"""The ratio that a verdict is held to: a long run under the same load."""

from __future__ import annotations

import resource
import statistics
import time

from latency.work import Call

# Undisturbed calls of each side that a truth is made of, at least.
ENOUGH = 100
# Long enough that the calls on caches which the other model filled, the first two or three, are few in a block.
BLOCK_NS = 100_000_000


def truth(reference: Call, compressed: Call, seconds: float) -> float:
    """Ratio of medians of a long run in alternating blocks of 0.1 s, without readings that lost their processor."""
    times: tuple[list[int], list[int]] = ([], [])
    start, pair = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds or (min(map(len, times)) < ENOUGH and spent < 6 * seconds):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            block_ends = time.perf_counter_ns() + BLOCK_NS
            while True:
                before, begun = preemptions(), time.perf_counter_ns()
                (reference, compressed)[side]()
                ended = time.perf_counter_ns()
                if preemptions() == before:
                    times[side].append(ended - begun)
                if ended > block_ends:
                    break
        pair += 1
    if min(map(len, times)) < ENOUGH:
        raise SystemExit("no truth can be had: hardly a call ran to its end undisturbed")
    return statistics.median(times[1]) / statistics.median(times[0])


def preemptions() -> int:
    """How often this process lost its processor."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)
