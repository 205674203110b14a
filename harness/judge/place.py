"""Whether figures of a baseline's machine mean anything on this one."""

from __future__ import annotations

from harness.judge.baseline import Accepted
from harness.judge.figures import number
from harness.judge.match import Held
from harness.judge.verdict import Match, Place
from harness.measurement import Measurement
from harness.metrics.base import Metric

# Absolute figures of one machine hold as long as its float model is this near to where it was.
FLOAT_DRIFT = 0.15
HOW_TO_ACCEPT = '--update-baselines --reason "…"'
NOWHERE_ACCEPTED = (
    f"no figure of this budget has been accepted yet, on this machine or another: accept one with {HOW_TO_ACCEPT}"
)


def place_of(metric: Metric, measurement: Measurement, near: Held | None, float_model: str) -> Place:
    """What a budget may be held to on this machine.

    Args:
        metric: the budget.
        measurement: of this run.
        near: what the baseline has for the label, seen from here; None where no machine is asked.
        float_model: address of this run's.
    """
    if near is None:
        return Place()
    if near.match is Match.COMPATIBLE:
        return Place(
            False,
            f"the baseline's machine is a compatible match, {near.versions}, and only an exact one will do; accept one "
            f"with {HOW_TO_ACCEPT}",
            near.match,
            # Other versions may well be slower: that tells of no load. Quicker ones tell that this is another pace.
            min(0.0, _slowed(metric, measurement, near.accepted)),
        )
    if not near.anywhere:
        return Place(False, NOWHERE_ACCEPTED, near.match)
    if near.accepted is None:
        return Place(
            False, f"foreign machine: no baseline was accepted on it; accept one with {HOW_TO_ACCEPT}", near.match
        )
    # A machine that runs the float model at another speed than it did is another machine, whatever its name. The speed
    # of another model says nothing of the machine.
    same_model = near.accepted.float_model in (None, float_model)
    if same_model and moved(measurement.reference, near.accepted.reference):
        slowed = _slowed(metric, measurement, near.accepted)
        return Place(
            False, f"the float model has {then_and_now(metric, measurement, near.accepted)}", near.match, slowed
        )
    return Place(match=near.match)


def moved(here: float | None, then: float | None) -> bool:
    """Whether the float model's figure is far from what it was where the baseline was accepted."""
    return here is not None and then is not None and abs(here - then) > FLOAT_DRIFT * abs(then)


def then_and_now(metric: Metric, measurement: Measurement, accepted: Accepted) -> str:
    """Both of the float model's figures, in words."""
    here, then = (number(one.reference or 0.0) for one in (measurement, accepted))
    return f"{here} {metric.unit} here, and {then} where the baseline was accepted"


def _slowed(metric: Metric, measurement: Measurement, accepted: Accepted | None) -> float:
    """By which share the float model is far slower than it was then, below zero where it is far quicker, else zero."""
    if accepted is None or not measurement.timed or not moved(measurement.reference, accepted.reference):
        return 0.0
    here, then = measurement.reference, accepted.reference
    if here is None or then is None or min(here, then) <= 0:
        return 0.0
    return (here / then if metric.better == "lower" else then / here) - 1
