"""Times that others spoiled are taken again before a verdict is kept back, and a breach before it counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.judge.verdict import State, Verdict
from harness.measurement import Measurement, Timings
from harness.run.executor import Watch
from harness.run.pipeline import Run
from harness.run.result import Result

# Seconds before each further take. A slow spell of a machine that is otherwise idle ends within some; what outlasts
# them is there to stay, and the verdict says so.
PAUSES_S = (2.0, 8.0)
# Another guest of the host may slow one model more than the other for a second or three, and nothing in a take as short
# as that tells of it. In one of so many seconds the quickest readings do.
BREACH_S = 6.0
TAKES = "takes"


def retaken(
    run: Run, labels: Sequence[str], judged: Callable[[Run, str], Verdict], measured: Callable[[list[str], float], Run],
    confidence: float, watch: Watch, pauses: Sequence[float] = PAUSES_S,
) -> tuple[Run, tuple[str, ...]]:  # fmt: skip
    """A run whose disturbed times were taken again, and those that broke a bound, and a note for each such budget.

    A take replaces the one before, but for a breach that it does not bear out: the two then leave the verdict open, and
    a third decides. So no bad time passes for being taken again: it has to pass twice. Once there was a breach, takes
    are long.

    Args:
        run: as it was measured first.
        labels: its budgets.
        judged: the verdict of a label on a run.
        measured: measures labels of the same case once more, times for so many seconds at least.
        confidence: of each bound.
        watch: told what is waited for.
        pauses: seconds before each further take of disturbed times; a breach is not waited for.
    """
    takes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    lost: dict[str, str] = {}
    least_s = 0.0
    for pause in pauses:
        rows = [judged(run, label) for label in labels]
        breaches = [row.label for row in rows if _unconfirmed(row, run.result.measurements.get(row.label))]
        again = [row for row in rows if row.disturbed or row.label in breaches]
        if not again:
            break
        for row in again:
            takes.setdefault(row.label, 1)
            reasons.setdefault(row.label, row.sentence)
        names = [row.label for row in again]
        if len(breaches) == len(names):
            watch(f"taking {', '.join(names)} again, for {BREACH_S:g} s: a breach has to show twice", 0.0)
        else:
            watch(f"waiting {pause:g} s for a quieter machine, to take {', '.join(names)} again", 0.0)
            time.sleep(pause)
        open_breaches = {row.label: _open_breach(run, row, judged, confidence) for row in again}
        least_s = BREACH_S if breaches else least_s
        fresh = measured(names, least_s)
        failure = fresh.result.failure.sentence if fresh.result.failure is not None else fresh.result.not_here
        if failure is None:
            takes |= {name: takes[name] + 1 for name in names}
        else:
            lost = dict.fromkeys(names, failure)
        run = Run(_joined(run.result, fresh.result, takes, open_breaches), run.artifact)
        if lost:
            break
    return run, tuple(_became(label, count, lost.get(label), reasons[label]) for label, count in takes.items())


def breach_to_bear_out(
    last: Timings, state: State, alone: Callable[[Timings], State], confidence: float
) -> tuple[float, float] | None:
    """The bounds of a ratio that proved a breach which the next take has to bear out; None where there is none.

    Args:
        last: the latest take, with the breach that it had to bear out itself.
        state: its verdict.
        alone: the verdict of a take by itself.
        confidence: of each bound.
    """
    if state is State.FAIL:
        ratio = last.ratio(confidence)
        return ratio.lower, ratio.upper
    # Where the latest take passes by itself it is one against one, and the next take decides.
    if last.breach is None or alone(last.model_copy(update={"breach": None})) is State.PASS:
        return None
    return last.breach


def _unconfirmed(row: Verdict, measurement: Measurement | None) -> bool:
    return row.verdict is State.FAIL and isinstance(measurement, Timings) and measurement.breach is None


def _open_breach(
    run: Run, row: Verdict, judged: Callable[[Run, str], Verdict], confidence: float
) -> tuple[float, float] | None:
    last = run.result.measurements.get(row.label)
    if not isinstance(last, Timings):
        return None

    def alone(take: Timings) -> State:
        measurements = {**run.result.measurements, row.label: take}
        return judged(
            Run(run.result.model_copy(update={"measurements": measurements}), run.artifact), row.label
        ).verdict

    return breach_to_bear_out(last, row.verdict, alone, confidence)


def _became(label: str, takes: int, lost: str | None, reason: str) -> str:
    """What a budget's takes came to; `lost` is why the last one gave no figures."""
    often = "once" if takes == 1 else f"{takes} times"
    stands = f", and once more without result, so the one before counts: {lost}" if lost is not None else ""
    return f"{label} was taken {often}{stands}; at first: {reason}"


def _joined(
    first: Result, again: Result, takes: dict[str, int], breaches: dict[str, tuple[float, float] | None]
) -> Result:
    fresh = {
        label: measurement.model_copy(
            update={
                "details": {**measurement.details, TAKES: float(takes[label])},
                **({"breach": breaches.get(label)} if isinstance(measurement, Timings) else {}),
            }
        )
        for label, measurement in again.measurements.items()
        if label in takes
    }
    failures = {**{name: one for name, one in first.failures.items() if name not in fresh}, **again.failures}
    stages = first.seconds.keys() | again.seconds.keys()
    return first.model_copy(
        update={
            "measurements": {**first.measurements, **fresh},
            "failures": failures,
            "waited": first.waited + again.waited,
            "seconds": {name: first.seconds.get(name, 0.0) + again.seconds.get(name, 0.0) for name in sorted(stages)},
        }
    )
