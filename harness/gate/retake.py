"""Times that others spoiled are taken again before a verdict is kept back for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.judge.verdict import Verdict
from harness.run.executor import Watch
from harness.run.pipeline import Run
from harness.run.result import Result

# Seconds before each further take. A slow spell of a machine that is otherwise idle ends within some; what outlasts
# them is there to stay, and the verdict says so.
PAUSES_S = (2.0, 8.0)
TAKES = "takes"


def retaken(
    run: Run, labels: Sequence[str], judged: Callable[[Run, str], Verdict], measured: Callable[[list[str]], Run],
    watch: Watch, pauses: Sequence[float] = PAUSES_S,
) -> tuple[Run, tuple[str, ...]]:  # fmt: skip
    """A run whose disturbed times were taken again, and a note for each budget that was.

    A take replaces the one before. What decides whether there is another is what others did and how near the limit is,
    never on which side of it the figure lies.

    Args:
        run: as it was measured first.
        labels: its budgets.
        judged: the verdict of a label on a run.
        measured: measures labels of the same case once more.
        watch: told what is waited for.
        pauses: seconds before each further take.
    """
    takes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    lost: dict[str, str] = {}
    for pause in pauses:
        rows = [judged(run, label) for label in labels]
        disturbed = [row for row in rows if row.disturbed]
        if not disturbed:
            break
        for row in disturbed:
            takes.setdefault(row.label, 1)
            reasons.setdefault(row.label, row.sentence)
        names = [row.label for row in disturbed]
        watch(f"waiting {pause:g} s for a quieter machine, to take {', '.join(names)} again", 0.0)
        time.sleep(pause)
        again = measured(names)
        failure = again.result.failure.sentence if again.result.failure is not None else again.result.not_here
        if failure is None:
            takes |= {name: takes[name] + 1 for name in names}
        else:
            lost = dict.fromkeys(names, failure)
        run = Run(_joined(run.result, again.result, takes), run.artifact)
        if lost:
            break
    return run, tuple(_became(label, count, lost.get(label), reasons[label]) for label, count in takes.items())


def _became(label: str, takes: int, lost: str | None, reason: str) -> str:
    """What a budget's takes came to; `lost` is why the last one gave no figures."""
    often = "once" if takes == 1 else f"{takes} times"
    stands = f", and once more without result, so the one before counts: {lost}" if lost is not None else ""
    return f"{label} was taken {often}{stands}; at first: {reason}"


def _joined(first: Result, again: Result, takes: dict[str, int]) -> Result:
    fresh = {
        label: measurement.model_copy(update={"details": {**measurement.details, TAKES: float(takes[label])}})
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
