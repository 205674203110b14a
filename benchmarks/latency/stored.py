"""What a stored run of pytest-benchmark says about the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from latency import MARGIN
from latency.work import Call

# What a stored run of pytest-benchmark does unless it is told otherwise.
PEER_SECONDS, PEER_ROUNDS, PEER_ALARM = 1.0, 5, 1.05


def stored_run(call: Call) -> tuple[float, float]:
    """Least and mean seconds of a run as pytest-benchmark takes it."""
    start = time.perf_counter()
    call()
    rounds = max(PEER_ROUNDS, int(PEER_SECONDS / (time.perf_counter() - start)))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times), statistics.fmean(times)


def peer_errors(stored: tuple[float, float], runs: Sequence[tuple[float, float]], side: str) -> tuple[float, float]:
    """Shares of wrong answers of the comparison with a stored run, by the least and by the mean.

    Below: the model is what was stored, and an alarm is wrong. Above: what was stored was 7 % faster, and silence is.
    """
    wrong = []
    for index in (0, 1):
        then = stored[index] / (1 + MARGIN) if side == "above" else stored[index]
        alarms = [run[index] > PEER_ALARM * then for run in runs]
        wrong.append(statistics.fmean(alarm is (side == "below") for alarm in alarms))
    return wrong[0], wrong[1]
