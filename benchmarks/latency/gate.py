"""One gate: the gate's own sampler, judge and further takes, on work of which the truth is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import Unmeasurable
from harness.judge.case import verdict
from harness.judge.standing import Standing
from harness.judge.verdict import State, Verdict
from harness.measurement import Timings
from harness.metrics.latency_ms import LatencyMs
from harness.retake import retaken
from harness.run.environment import environment
from harness.run.job import Failure
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.run.timing import sample
from harness.spec.schema import Spec
from latency.work import Work

LABEL = "latency_ms"
SPEC = Spec.model_validate(
    {"version": 1, "task": "image-classification", "model": {"source": "zoo", "name": "resnet20-digits"},
     "compress": [{"method": "float16"}], "budgets": {LABEL: {"max_ratio": 1.0}}}
)  # fmt: skip
BLANK = Result(spec="work", environment=environment(), kernels="any")


@dataclass(frozen=True)
class Answer:
    """What one gate said, the seconds that it took, the load that it saw, and how often it took the times."""

    state: State
    seconds: float
    load: float
    takes: int


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
