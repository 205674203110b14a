"""One row of the grid: the gate, many times over, with the limit on a known side of the truth."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.judge.verdict import State
from harness.retake import PAUSES_S
from latency import MARGIN
from latency.gate import Answer, gate
from latency.log import SIDES, Log, Pair, place
from latency.stored import peer_errors, stored_run
from latency.truth import truth
from latency.work import Work, neighbours

# Of the truth, whose median a pair of gates is held to.
PIECES = 5
# How far apart these may lie on a machine that is idle, as a share: half of what the limit is away. And how many pieces
# in a row may lie farther apart before the machine is given up.
STEADY, PATIENCE = MARGIN / 2, 300
# The verdicts that are right and wrong where the truth lies on this side of the limit; any other leaves it open.
RIGHT_VERDICT = {"below": State.PASS, "above": State.FAIL}
WRONG_VERDICT = {"below": State.FAIL, "above": State.PASS}


@dataclass
class Cell:
    """One workload under one load with the limit on one side of the truth.

    Attributes:
        side: whether the truth lies ``below`` the limit (PASS is right) or ``above`` it (FAIL is right).
        truth, truth_idle: compressed ÷ float of a long run under this load, in pieces between the gates (their median),
            and of one without any.
        limit: at that truth; each gate's is as far from the median of the pieces just before it.
        truth_least, truth_most: of these medians; None in cells of before.
        left_out: pairs of idle gates during which the truth moved, so that nobody knows on which side of it they were.
        left_out_right, left_out_open, left_out_wrong: what gates of this side said in them; None in cells of before.
        wrong_verdicts: share of gates that answered PASS above the limit, or FAIL below it.
        others: median share of processor time that others took, as the gate saw it.
        taken_again: share of gates whose times were taken more than once, as a breach, or others, asked for.
        peer, peer_mean: share of wrong answers of a stored run, by the least and by the mean.
        place: the machine and the code, as `latency.log.place` tells them; None in cells of before.
        asked: how its gates were run, as `Asked.way` tells it; None in cells of before.
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
    left_out: int = 0
    left_out_right: int | None = None
    left_out_open: int | None = None
    left_out_wrong: int | None = None
    place: str | None = None
    asked: dict[str, Any] | None = None

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
        steady: idle gates wait for a truth that stays where it is, and those during which it moved are left out.
    """

    gates: int
    truth_seconds: float
    peer_runs: int
    segment_s: float = 2.0
    pauses: tuple[float, ...] | None = PAUSES_S
    steady: bool = True

    @property
    def way(self) -> dict[str, Any]:
        """How pairs of gates are run, however many, as JSON gives it back: only those that were run alike add up."""
        pauses = None if self.pauses is None else list(self.pauses)
        return {"segment_s": self.segment_s, "pauses": pauses, "steady": self.steady}


@dataclass(frozen=True)
class Idle:
    """What a workload does while the machine is idle."""

    truth: float
    stored: tuple[float, float]


def cells(workload: str, load: str, work: Work, asked: Asked, idle: Idle, log: Log) -> list[Cell]:
    """Both sides of one workload under one load, their gates in turn; those that are in the log are not run again.

    Raises:
        SystemExit: the machine is to be idle, and the truth does not stay where it is.
    """
    with neighbours(load):
        # Neighbours that stay are not waited for.
        pauses = asked.pauses if load == "idle" or asked.pauses is None else ()
        ran, idling = log.read(workload, load, asked.way), load == "idle" and asked.steady
        pairs = [pair for pair in ran if pair.steady or not idling]
        # The latest, for on a host with other guests the truth itself moves by more than the margin in an hour; and
        # several, for in a spell of theirs a single one tells of seconds that are gone when the gates begin.
        pieces = deque((truth(work[0], work[1], asked.segment_s) for _ in range(PIECES)), PIECES)
        while len(pairs) < asked.gates:
            if idling:
                _wait_until_steady(pieces, lambda: truth(work[0], work[1], asked.segment_s))
            true = statistics.median(pieces)
            answers = [gate(work, true / factor, pauses) for factor in SIDES.values()]
            pieces.append(truth(work[0], work[1], asked.segment_s))
            pair = Pair(true, pieces[-1], *answers)
            log.add(workload, load, asked.way, pair)
            ran.append(pair)
            if pair.steady or not idling:
                pairs.append(pair)
        runs = [stored_run(work[1]) for _ in range(asked.peer_runs)]
    left_out = [pair for pair in ran if idling and not pair.steady]
    return [summary(workload, load, side, pairs, left_out, asked, idle, runs) for side in SIDES]


def _wait_until_steady(pieces: deque[float], another: Callable[[], float]) -> None:
    """Take pieces until the latest five agree: idle is a machine on which the truth stays where it is.

    Whoever asks decides by the truth alone, before any gate is run on it.
    """
    for _ in range(PATIENCE):
        if max(pieces) / min(pieces) - 1 <= STEADY:
            return
        pieces.append(another())
    raise SystemExit(
        f"this machine is not idle: of {PATIENCE} pieces of the truth no {PIECES} in a row lay within {STEADY:.1%}"
    )


def summary(
    workload: str, load: str, side: str, pairs: Sequence[Pair], left_out: Sequence[Pair], asked: Asked, idle: Idle,
    runs: Sequence[tuple[float, float]],
) -> Cell:  # fmt: skip
    """One side's shares.

    Args:
        workload: what was timed.
        load: beside what.
        side: ``below`` or ``above``.
        pairs: all that count.
        left_out: those that do not.
        asked: how they were run.
        idle: the workload on the idle machine.
        runs: least and mean of each of pytest-benchmark's under this load.
    """
    answers: list[Answer] = [getattr(pair, side) for pair in pairs]
    states = [answer.state for answer in answers]
    share = {state: states.count(state) / len(states) for state in State}
    seconds = [answer.seconds for answer in answers]
    truths = [pair.truth for pair in pairs]
    true = statistics.median(truths)
    outside = Counter(getattr(pair, side).state for pair in left_out)
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
        wrong_verdicts=share[WRONG_VERDICT[side]],
        median_seconds=statistics.median(seconds),
        longest_seconds=max(seconds),
        others=statistics.median(answer.load for answer in answers),
        truth_least=min(truths),
        truth_most=max(truths),
        left_out=len(left_out),
        left_out_right=outside[RIGHT_VERDICT[side]],
        left_out_open=len(left_out) - outside[RIGHT_VERDICT[side]] - outside[WRONG_VERDICT[side]],
        left_out_wrong=outside[WRONG_VERDICT[side]],
        taken_again=sum(answer.takes > 1 for answer in answers) / len(states),
        peer=peer,
        peer_mean=peer_mean,
        peer_runs=len(runs),
        place=place(),
        asked=asked.way,
    )
