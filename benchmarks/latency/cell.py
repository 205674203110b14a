"""One row of the grid: the gate, many times over, with the limit on a known side of the truth."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from harness.judge.verdict import State
from harness.retake import PAUSES_S
from latency.gate import Answer, gate
from latency.log import SIDES, Log, Pair
from latency.stored import peer_errors, stored_run
from latency.truth import truth
from latency.work import Work, neighbours

# Of the truth, whose median a pair of gates is held to.
PIECES = 5


@dataclass
class Cell:
    """One workload under one load with the limit on one side of the truth.

    Attributes:
        side: whether the truth lies ``below`` the limit (PASS is right) or ``above`` it (FAIL is right).
        truth, truth_idle: compressed ÷ float of a long run under this load, in pieces between the gates (their median),
            and of one without any.
        limit: at that truth; each gate's is as far from the median of the pieces just before it.
        truth_least, truth_most: of these medians; None in cells of before.
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
        segment_s: that a piece of the truth is sampled for before each pair of gates, at least.
        peer_runs: of pytest-benchmark.
        pauses: seconds before each further take of an idle gate that others disturbed; None takes every time once.
    """

    gates: int
    truth_seconds: float
    peer_runs: int
    segment_s: float = 2.0
    pauses: tuple[float, ...] | None = PAUSES_S


@dataclass(frozen=True)
class Idle:
    """What a workload does while the machine is idle."""

    truth: float
    stored: tuple[float, float]


def cells(workload: str, load: str, work: Work, asked: Asked, idle: Idle, log: Log) -> list[Cell]:
    """Both sides of one workload under one load, their gates in turn; those that are in the log are not run again."""
    with neighbours(load):
        pairs = log.read(workload, load)
        # Neighbours that stay are not waited for.
        pauses = asked.pauses if load == "idle" or asked.pauses is None else ()
        # The latest, for on a host with other guests the truth itself moves by more than the margin in an hour; and
        # several, for in a spell of theirs a single one tells of seconds that are gone when the gates begin.
        pieces = deque((truth(work[0], work[1], asked.segment_s) for _ in range(PIECES - 1)), PIECES)
        for _ in range(asked.gates - len(pairs)):
            pieces.append(truth(work[0], work[1], asked.segment_s))
            true = statistics.median(pieces)
            pair = Pair(true, *(gate(work, true / factor, pauses) for factor in SIDES.values()))
            log.add(workload, load, pair)
            pairs.append(pair)
        runs = [stored_run(work[1]) for _ in range(asked.peer_runs)]
    return [summary(workload, load, side, pairs, idle, runs) for side in SIDES]


def summary(
    workload: str, load: str, side: str, pairs: Sequence[Pair], idle: Idle, runs: Sequence[tuple[float, float]]
) -> Cell:
    """One side's shares.

    Args:
        workload: what was timed.
        load: beside what.
        side: ``below`` or ``above``.
        pairs: all that were run.
        idle: the workload on the idle machine.
        runs: least and mean of each of pytest-benchmark's under this load.
    """
    answers: list[Answer] = [getattr(pair, side) for pair in pairs]
    states = [answer.state for answer in answers]
    share = {state: states.count(state) / len(states) for state in State}
    seconds = [answer.seconds for answer in answers]
    truths = [pair.truth for pair in pairs]
    true = statistics.median(truths)
    peer, peer_mean = peer_errors(idle.stored, runs, side)
    return Cell(
        workload=workload,
        load=load,
        side=side,
        truth=true,
        truth_idle=idle.truth,
        limit=true / SIDES[side],
        gates=len(states),
        pass_rate=share[State.PASS],
        fail_rate=share[State.FAIL],
        inconclusive_rate=share[State.INCONCLUSIVE],
        invalid_rate=share[State.INVALID],
        wrong_verdicts=share[State.FAIL if side == "below" else State.PASS],
        median_seconds=statistics.median(seconds),
        longest_seconds=max(seconds),
        others=statistics.median(answer.load for answer in answers),
        truth_least=min(truths),
        truth_most=max(truths),
        taken_again=sum(answer.takes > 1 for answer in answers) / len(states),
        peer=peer,
        peer_mean=peer_mean,
        peer_runs=len(runs),
    )
