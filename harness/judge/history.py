"""What a stored baseline has to say of one budget: of one that is kept, and of one that is expected to break."""

from __future__ import annotations

from dataclasses import replace

from harness.judge.expected import expectations
from harness.judge.family import compared
from harness.judge.match import Held
from harness.judge.place import HOW_TO_ACCEPT, NOWHERE_ACCEPTED, then_and_now
from harness.judge.regression import compare
from harness.judge.standing import Standing
from harness.judge.verdict import BASELINE, Finding, Match, State
from harness.measurement import Measurement
from harness.metrics.base import Metric
from harness.run.result import Result
from harness.spec.expectation import REGRESS
from harness.spec.schema import Measure, Spec


def history(
    spec: Spec, result: Result, label: str, standing: Standing, state: State, near: Held | None, slower: float
) -> list[Finding]:
    """What the baseline finds, where it is asked: of a budget that is kept, and of one that may break for a while.

    Args:
        spec: the case.
        result: what was measured, the label's figure among it.
        label: a key of `budgets:`.
        standing: the baseline and this machine.
        state: of the budget's own bounds.
        near: the baseline's machine, for a metric that belongs to one.
        slower: as `Place.slower`.
    """
    if standing.updating:
        return []
    if state in (State.FAIL, State.INCONCLUSIVE) and expectations(spec, label):
        return _floor(_found(spec, result, label, standing, near, slower))
    if state not in (State.PASS, State.NOT_RUN):
        return []
    found = _found(spec, result, label, standing, near, slower)
    if found is None:
        text = f"within budget, but no baseline is stored: look at it and accept it with {HOW_TO_ACCEPT}"
        return [Finding(State.FAIL, text, bound=BASELINE)]
    # What was not enforced here has said so already, and does not turn green by what a baseline says.
    return [] if near is not None and state is State.NOT_RUN and found.state is State.PASS else [found]


def _found(
    spec: Spec, result: Result, label: str, standing: Standing, near: Held | None, slower: float
) -> Finding | None:
    """What the comparison with the baseline finds; None where a portable figure has none."""
    if standing.problem:
        return Finding(State.INVALID, standing.problem, bound=BASELINE)
    if near is not None:
        return _beside(spec.budgets[label], result.measurements[label], near, slower, spec.measure, result.kernels)
    stored = standing.baseline.portable if standing.baseline is not None else {}
    if label not in stored:
        return None
    return compared(spec.budgets, result.measurements, stored, label, spec.measure.confidence, result.kernels)


def _floor(found: Finding | None) -> list[Finding]:
    """How far a budget may break that is expected to: not beyond what was once accepted of it.

    Only a proven regression is held against it. What breaks cannot be accepted anew, so a baseline that cannot be
    compared with is told of and decides nothing, and one that could be better is not spoken of.
    """
    if found is None:
        return []
    if found.state is State.FAIL or found.bound == BASELINE:
        return [found]
    if found.state is State.PASS and found.bound == REGRESS:
        return [replace(found, text="", gain=False)]
    return [Finding(State.PASS, f"no regression is proven: {found.text}")]


def _beside(
    metric: Metric, measurement: Measurement, near: Held, slower: float, measure: Measure, kernels: str
) -> Finding:
    """What the baseline of this machine has to say, or of one that is compatible."""
    if not near.anywhere:
        return Finding(State.PASS, NOWHERE_ACCEPTED)
    if near.accepted is None or (near.match is Match.COMPATIBLE and near.accepted.ratio is None):
        return Finding(State.PASS, f"no baseline here ({near.match} machine)")
    found = compare(metric, measurement, near.accepted, measure.confidence, kernels, slower)
    # Where another question is asked, float's pace is of that question, and tells nothing of the machine.
    if slower < 0 and near.accepted.ratio is not None and found.state is not State.INVALID:
        # No neighbour makes a model quicker: it is the baseline that was taken at another pace of this machine.
        figures = then_and_now(metric, measurement, near.accepted)
        text = f"no baseline here: the float model, far quicker, has {figures}; accept it anew with {HOW_TO_ACCEPT}"
        return Finding(State.PASS, text)
    if near.match is Match.COMPATIBLE:
        text = found.text or "no regression against the baseline ratio"
        return replace(found, text=f"{text} (compatible machine: {near.versions})")
    return found
