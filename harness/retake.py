"""Times are taken again: what others spoiled, a breach before it counts, and what straddles a tolerated regression."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.judge.verdict import State, Verdict
from harness.measurement import Timings
from harness.measurement.breach import Breach
from harness.run.executor import Watch
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.spec.schema import Measure

# Seconds before each further take. A slow spell of a machine that is otherwise idle ends within some; what outlasts
# them is there to stay, and the verdict says so.
PAUSES_S = (2.0, 8.0)
# Another guest of the host may slow one model more than the other for a second or three, and nothing in a take as short
# as that tells of it. In one of so many seconds the quickest readings do.
BREACH_S = 6.0
TAKES = "takes"


def retaken(
    run: Run, labels: Sequence[str], judged: Callable[[Run, str], Verdict], measured: Callable[[list[str], float], Run],
    measure: Measure, watch: Watch, pauses: Sequence[float] = PAUSES_S,
) -> tuple[Run, tuple[str, ...]]:  # fmt: skip
    """A run whose disturbed times were taken again, and those that broke a bound, and a note for each such budget.

    A take replaces the one before, but for a breach that it does not bear out: the two then leave the verdict open, and
    a third decides. So no bad time passes for being taken again: it has to pass twice. Once there was a breach, takes
    are long. So is the one more that a time gets which passes its baseline only because nothing is proven: a regression
    that it then shows is a breach like any other.

    Args:
        run: as it was measured first.
        labels: its budgets.
        judged: the verdict of a label on a run.
        measured: measures labels of the same case once more, times for so many seconds at least.
        measure: of the case: the confidence of each bound, and the most seconds that a take may have.
        watch: told what is waited for.
        pauses: seconds before each further take of disturbed times; a breach is not waited for.
    """
    takes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    lost: dict[str, str] = {}
    broke: set[tuple[str, str]] = set()
    least_s = 0.0
    # After the last of them nothing is taken again but a breach that has shown only once.
    for pause in (*pauses, None):
        rows = [judged(run, label) for label in labels]
        failed = {(row.label, bound) for row in rows if _breach(run, row) for bound in _broken(row)}
        breaches = {label for label, _ in failed - broke}
        open_rows = [row for row in rows if row.label not in lost]
        rough = {row.label for row in open_rows if row.straddles and row.label not in takes and _timed(run, row)}
        at_once = breaches | rough
        again = [row for row in open_rows if row.label in at_once or (row.disturbed and pause is not None)]
        if not again:
            break
        for row in again:
            takes.setdefault(row.label, 1)
            reasons.setdefault(row.label, row.sentence)
        names = [row.label for row in again]
        least_s = min(BREACH_S, measure.latency_s) if at_once else least_s
        if pause is None or at_once.issuperset(names):
            why = "a breach has to show twice" if breaches else "a regression is neither proven nor ruled out"
            watch(f"taking {', '.join(names)} again, for {least_s:g} s: {why}", 0.0)
        else:
            watch(f"waiting {pause:g} s for a quieter machine, to take {', '.join(names)} again", 0.0)
            time.sleep(pause)
        to_bear_out = {row.label: _to_bear_out(run, row, judged, measure.confidence) for row in again}
        broke |= failed
        fresh = measured(names, least_s).result
        useless = _useless(fresh, run.result)
        # A take without figures, of all budgets or of one, replaces nothing: what an earlier one proved stands.
        lost |= (
            dict.fromkeys(names, useless) if useless else {name: one.sentence for name, one in fresh.failures.items()}
        )
        takes |= {name: takes[name] + 1 for name in names if name not in lost}
        fresh = fresh.model_copy(update={"measurements": {} if useless else fresh.measurements})
        run = Run(_joined(run.result, fresh, takes, to_bear_out), run.artifact)
        if useless:
            break
    return run, tuple(_became(label, count, lost.get(label), reasons[label]) for label, count in takes.items())


def _useless(fresh: Result, first: Result) -> str:
    """Why a take tells nothing of the artifact that was measured first; empty where it does."""
    if fresh.failure is not None:
        return fresh.failure.sentence
    if fresh.not_here is not None:
        return fresh.not_here
    return "" if fresh.artifact == first.artifact else "the artifact was made anew meanwhile, and is another one"


def _timed(run: Run, row: Verdict) -> bool:
    return isinstance(run.result.measurements.get(row.label), Timings)


def _breach(run: Run, row: Verdict) -> bool:
    return row.verdict is State.FAIL and _timed(run, row)


def _broken(row: Verdict) -> tuple[str, ...]:
    return tuple(bound for bound, state in row.found.items() if state is State.FAIL)


def _to_bear_out(run: Run, row: Verdict, judged: Callable[[Run, str], Verdict], confidence: float) -> Breach | None:
    """What the next take has to bear out: this one's breach, and what this one has not contradicted of the one before.

    Where every bound that broke is kept by this take alone, it is one against one, and the next take decides. Beside a
    breach of this take each bound counts for itself.
    """
    last = run.result.measurements.get(row.label)
    if not isinstance(last, Timings):
        return None
    broken, earlier, ratio = _broken(row) if row.verdict is State.FAIL else (), last.breach, last.ratio(confidence)
    if earlier is None:
        return Breach(bounds=broken, lower=ratio.lower, upper=ratio.upper) if broken else None
    measurements = {**run.result.measurements, row.label: last.model_copy(update={"breach": None})}
    alone = judged(Run(run.result.model_copy(update={"measurements": measurements}), run.artifact), row.label)
    kept = {bound for bound, state in alone.found.items() if state is State.PASS}
    if not broken and not (alone.verdict is State.PASS and kept.issuperset(earlier.bounds)):
        return earlier
    left = [bound for bound in earlier.bounds if bound not in kept.union(broken)]
    once = [bound for bound in earlier.bounds if bound in kept.difference(broken)]
    even = [bound for bound in earlier.even if bound not in kept.union(broken)]
    if not (broken or left or once or even):
        return None
    lower, upper = (ratio.lower, ratio.upper) if broken else (earlier.lower, earlier.upper)
    return Breach(bounds=(*broken, *left), lower=lower, upper=upper, even=(*once, *even))


def _became(label: str, takes: int, lost: str | None, reason: str) -> str:
    """What a budget's takes came to; `lost` is why the last one gave no figures."""
    often = "once" if takes == 1 else f"{takes} times"
    stands = f", and once more without result, so the one before counts: {lost}" if lost is not None else ""
    return f"{label} was taken {often}{stands}; at first: {reason}"


def _joined(first: Result, again: Result, takes: dict[str, int], to_bear_out: dict[str, Breach | None]) -> Result:
    fresh = {
        label: measurement.model_copy(
            update={
                "details": {**measurement.details, TAKES: float(takes[label])},
                **({"breach": to_bear_out.get(label)} if isinstance(measurement, Timings) else {}),
            }
        )
        for label, measurement in again.measurements.items()
        if label in takes
    }
    stages = first.seconds.keys() | again.seconds.keys()
    return first.model_copy(
        update={
            "measurements": {**first.measurements, **fresh},
            "waited": first.waited + again.waited,
            "seconds": {name: first.seconds.get(name, 0.0) + again.seconds.get(name, 0.0) for name in sorted(stages)},
        }
    )
