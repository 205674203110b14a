"""One row of the grid: the gate, many times over, with the limit on a known side of the truth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import Unmeasurable
from harness.judge.case import verdict
from harness.judge.standing import Standing
from harness.judge.verdict import State, Verdict
from harness.measurement import Timings
from harness.metrics.latency_ms import LatencyMs
from harness.retake import PAUSES_S, retaken
from harness.run.environment import environment
from harness.run.job import Failure
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.run.timing import sample
from harness.spec.schema import Spec
from latency import MARGIN
from latency.stored import peer_errors, stored_run
from latency.truth import truth
from latency.work import Work, neighbours

LABEL = "latency_ms"
# On which side of the limit the truth lies, and truth ÷ limit there.
SIDES = {"below": 1 - MARGIN, "above": 1 + MARGIN}
SPEC = Spec.model_validate(
    {"version": 1, "task": "image-classification", "model": {"source": "zoo", "name": "resnet20-digits"},
     "compress": [{"method": "float16"}], "budgets": {LABEL: {"max_ratio": 1.0}}}
)  # fmt: skip
BLANK = Result(spec="work", environment=environment(), kernels="any")


@dataclass
class Cell:
    """One workload under one load with the limit on one side of the truth.

    Attributes:
        side: whether the truth lies ``below`` the limit (PASS is right) or ``above`` it (FAIL is right).
        truth, truth_idle: compressed ÷ float of a long run under this load, in pieces between the gates (their median),
            and of one without any.
        limit: at that truth; each gate's is as far from the piece before it.
        truth_least, truth_most: of the pieces; None in cells of before.
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
    truth_least: float | None = None
    truth_most: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Both sides of it are run together."""
        return self.workload, self.load


@dataclass(frozen=True)
class Asked:
    """How much of it.

    Attributes:
        gates: a cell.
        truth_seconds: that the idle truth is sampled for, at least.
        segment_s: that the truth is sampled for before each pair of gates, at least.
        peer_runs: of pytest-benchmark.
        pauses: seconds before each further take of an idle gate that others disturbed; None takes every time once.
    """

    gates: int
    truth_seconds: float
    peer_runs: int
    segment_s: float = 2.0
    pauses: tuple[float, ...] | None = PAUSES_S


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


def gate(work: Work, limit: float, pauses: Sequence[float] | None = ()) -> Answer:
    """The verdict of one budget, by the gate's own judge and with its own further takes.

    Args:
        work: float, compressed and control.
        limit: on compressed ÷ float.
        pauses: seconds before each further take of what others kept undecided; None takes breaches only once, too.
    """
    start, spec = time.perf_counter(), SPEC.model_copy(update={"budgets": {LABEL: LatencyMs(max_ratio=limit)}})
    limits, takes = spec.budgets[LABEL].ratio_limits, 0

    def taken(least_s: float) -> Run:
        nonlocal takes
        takes += 1
        try:
            timings = sample(
                work[0], work[1], limits, spec.measure, batch=1, rate=False, progress=lambda text: None,
                clock=time.perf_counter_ns, control=work[2], least_s=least_s,
            )  # fmt: skip
        except Unmeasurable as error:
            return Run(BLANK.model_copy(update={"failures": {LABEL: Failure(sentence=str(error))}}), None)
        return Run(BLANK.model_copy(update={"measurements": {LABEL: timings}}), None)

    def judged(run: Run, label: str) -> Verdict:
        return verdict(spec, run.result, label, Standing(None, ""))

    run = taken(0.0)
    if pauses is not None:
        run, _ = retaken(
            run, [LABEL], judged, lambda labels, least_s: taken(least_s), spec.measure, lambda text, seconds: None,
            pauses,
        )  # fmt: skip
    last = run.result.measurements.get(LABEL)
    load = last.load if isinstance(last, Timings) else 0.0
    return Answer(judged(run, LABEL).verdict, time.perf_counter() - start, load, takes)


def cells(workload: str, load: str, work: Work, asked: Asked, idle: Idle) -> list[Cell]:
    """Both sides of one workload under one load, their gates in turn."""
    with neighbours(load):
        answers: dict[str, list[Answer]] = {side: [] for side in SIDES}
        truths = []
        # Neighbours that stay are not waited for.
        pauses = asked.pauses if load == "idle" or asked.pauses is None else ()
        for _ in range(asked.gates):
            # Anew for each pair: on a host with other guests the truth itself moves by more than the margin in an hour.
            truths.append(truth(work[0], work[1], asked.segment_s))
            for side, factor in SIDES.items():
                answers[side].append(gate(work, truths[-1] / factor, pauses))
        runs = [stored_run(work[1]) for _ in range(asked.peer_runs)]
    found = []
    true = statistics.median(truths)
    for side, factor in SIDES.items():
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
                limit=true / factor,
                gates=len(states),
                pass_rate=share[State.PASS],
                fail_rate=share[State.FAIL],
                inconclusive_rate=share[State.INCONCLUSIVE],
                invalid_rate=share[State.INVALID],
                wrong_verdicts=share[State.FAIL if side == "below" else State.PASS],
                median_seconds=statistics.median(seconds),
                longest_seconds=max(seconds),
                others=statistics.median(answer.load for answer in answers[side]),
                truth_least=min(truths),
                truth_most=max(truths),
                taken_again=sum(answer.takes > 1 for answer in answers[side]) / len(states),
                peer=peer[0],
                peer_mean=peer[1],
                peer_runs=len(runs),
            )
        )
    return found
