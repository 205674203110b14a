"""One row of the grid: the gate, many times over, with the limit on a known side of the truth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import Unmeasurable
from harness.gate.retake import BREACH_S, PAUSES_S, breach_to_bear_out
from harness.judge.bounds import judge
from harness.judge.verdict import State, overall
from harness.measurement import Timings
from harness.metrics.latency_ms import LatencyMs
from harness.run.timing import sample
from harness.spec.schema import Measure
from latency import MARGIN
from latency.stored import peer_errors, stored_run
from latency.truth import truth
from latency.work import Work, neighbours

MEASURE = Measure()


@dataclass
class Cell:
    """One workload under one load with the limit on one side of the truth.

    Attributes:
        side: whether the truth lies ``below`` the limit (PASS is right) or ``above`` it (FAIL is right).
        truth, truth_idle: compressed ÷ float of a long run under this load, and without any.
        wrong_verdicts: share of gates that answered PASS above the limit, or FAIL below it.
        others: median share of processor time that others took, as the gate saw it.
        taken_again: share of gates whose times were taken more than once, as a breach, or others, asked for.
        peer, peer_mean: share of wrong answers of a stored run, by the least and by the mean.
    """

    workload: str
    load: str
    side: str
    truth: float
    truth_idle: float
    limit: float
    gates: int
    pass_rate: float
    fail_rate: float
    inconclusive_rate: float
    invalid_rate: float
    wrong_verdicts: float
    median_seconds: float
    longest_seconds: float
    others: float
    peer: float
    peer_mean: float
    peer_runs: int
    taken_again: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """Both sides of it are run together."""
        return self.workload, self.load


@dataclass(frozen=True)
class Asked:
    """How much of it; `pauses` are the seconds before each further take of an idle gate that others disturbed."""

    gates: int
    truth_seconds: float
    peer_runs: int
    pauses: tuple[float, ...] = PAUSES_S


@dataclass(frozen=True)
class Answer:
    """What one gate said, the seconds that it took, the load that it saw, and how often it took the times."""

    state: State
    seconds: float
    load: float
    takes: int


@dataclass(frozen=True)
class Idle:
    """What a workload does while the machine is idle."""

    truth: float
    stored: tuple[float, float]


def gate(work: Work, limit: float, pauses: Sequence[float] = ()) -> Answer:
    """The verdict of one budget.

    Args:
        work: float, compressed and control.
        limit: on compressed ÷ float.
        pauses: seconds before each further take, as the gate takes times again that only others kept undecided, or that
            broke the limit.
    """
    metric, start = LatencyMs(max_ratio=limit), time.perf_counter()
    state, load, takes, breached = State.INVALID, 0.0, 0, False
    breach: tuple[float, float] | None = None

    def judged(timings: Timings) -> State:
        return overall(judge(metric, timings, MEASURE.confidence))

    for pause in (0.0, *pauses):
        time.sleep(0.0 if state is State.FAIL else pause)
        breached, takes = breached or state is State.FAIL, takes + 1
        try:
            timings = sample(
                work[0], work[1], metric.ratio_limits, MEASURE, batch=1, rate=False, progress=lambda text: None,
                clock=time.perf_counter_ns, control=work[2], least_s=BREACH_S if breached else 0.0,
            )  # fmt: skip
        except Unmeasurable:
            state, load = State.INVALID, 0.0
            break
        timings = timings.model_copy(update={"breach": breach})
        findings = judge(metric, timings, MEASURE.confidence)
        state, load = overall(findings), timings.load
        kept_back = state is State.INCONCLUSIVE and any(finding.disturbed for finding in findings)
        if not kept_back and (state is not State.FAIL or breach is not None):
            break
        breach = breach_to_bear_out(timings, state, judged, MEASURE.confidence)
    return Answer(state, time.perf_counter() - start, load, takes)


def cells(workload: str, load: str, work: Work, asked: Asked, idle: Idle) -> list[Cell]:
    """Both sides of one workload under one load, their gates in turn."""
    with neighbours(load):
        true = idle.truth if load == "idle" else truth(work[0], work[1], asked.truth_seconds)
        limits = {"below": true / (1 - MARGIN), "above": true / (1 + MARGIN)}
        answers: dict[str, list[Answer]] = {side: [] for side in limits}
        # Neighbours that stay are not waited for: beside them each take is a verdict of its own.
        pauses = asked.pauses if load == "idle" else ()
        for _ in range(asked.gates):
            for side, limit in limits.items():
                answers[side].append(gate(work, limit, pauses))
        runs = [stored_run(work[1]) for _ in range(asked.peer_runs)]
    found = []
    for side, limit in limits.items():
        states = [answer.state for answer in answers[side]]
        share = {state: states.count(state) / len(states) for state in State}
        seconds = [answer.seconds for answer in answers[side]]
        peer = peer_errors(idle.stored, runs, side)
        found.append(
            Cell(
                workload=workload,
                load=load,
                side=side,
                truth=true,
                truth_idle=idle.truth,
                limit=limit,
                gates=len(states),
                pass_rate=share[State.PASS],
                fail_rate=share[State.FAIL],
                inconclusive_rate=share[State.INCONCLUSIVE],
                invalid_rate=share[State.INVALID],
                wrong_verdicts=share[State.FAIL if side == "below" else State.PASS],
                median_seconds=statistics.median(seconds),
                longest_seconds=max(seconds),
                others=statistics.median(answer.load for answer in answers[side]),
                taken_again=sum(answer.takes > 1 for answer in answers[side]) / len(states),
                peer=peer[0],
                peer_mean=peer[1],
                peer_runs=len(runs),
            )
        )
    return found
