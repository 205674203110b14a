"""Outcomes that were measured elsewhere: a budget for figures that no metric of this package names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import ValidationError

from harness.errors import Unmeasurable
from harness.judge.bounds import judge
from harness.judge.case import leading, row_of
from harness.judge.family import proof
from harness.judge.verdict import Finding, State, Verdict
from harness.measurement import Measurement
from harness.metrics.base import SHARE, Bench, Better, Metric
from harness.spec.bounds import bound_faults, harmful, span_faults

# Where a spec would have the budget.
_AT = ("budgets", "outcome")


class Outcome(Metric):
    """A figure of which a higher one is better. No spec can name it: it is judged and never measured."""

    metric: Literal["outcome"] = "outcome"
    better: ClassVar[Better] = "higher"
    needs_data: ClassVar[bool] = True

    def measure(self, bench: Bench) -> Measurement:
        """Nothing: the outcomes come from outside.

        Raises:
            Unmeasurable: always.
        """
        raise Unmeasurable("outcomes from outside are judged, and there is no model to measure them on")


class Cost(Outcome):
    """A figure of which a lower one is better."""

    better: ClassVar[Better] = "lower"


def budget(bounds: Mapping[str, float], better: Better | None = None) -> Metric:
    """The bounds as a budget.

    Args:
        bounds: by name, as in a spec.
        better: which outcomes are better; None where the bounds imply it, as `max_rise` does.

    Raises:
        ValueError: the bounds mean nothing, with the sentence that a spec would be refused with.
    """
    if not bounds:
        raise ValueError("give at least one bound, for example --max-drop 0.02")
    if better is None:
        falls, rises = (any(name in bounds for name in harmful(side)) for side in ("higher", "lower"))
        better = "lower" if rises and not falls else "higher"
    try:
        metric = (Outcome if better == "higher" else Cost).model_validate(dict(bounds))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise ValueError("; ".join(wrong)) from error
    faults = [fault.message for fault in bound_faults(_AT, metric)]
    if faults:
        raise ValueError("; ".join(faults))
    return metric


def verdict(metric: Metric, measured: Measurement | str, confidence: float, label: str) -> Verdict:
    """The row of the report that such a budget would have.

    Args:
        metric: the budget.
        measured: both sides, or the sentence that says why there is nothing to judge.
        confidence: of each one-sided bound.
        label: what the sentence calls the figure.
    """
    blank = Verdict(
        spec="", label=label, metric=metric.metric, verdict=State.INVALID, bound=metric.bounds(), sentence=""
    )
    if isinstance(measured, str):
        return blank.model_copy(update={"sentence": f"{label}: {measured} → {State.INVALID}"})
    findings = _out_of_reach(metric, measured)
    if not findings:
        level = proof({label: metric}, {label: measured}, confidence)
        findings = leading(metric, judge(metric, measured, confidence, proof=level))
    return row_of(blank, metric, measured, findings)


def _out_of_reach(metric: Metric, measured: Measurement) -> list[Finding]:
    """Limits on a share that no share can reach, or every one keeps: a spec with them is refused when it is loaded.

    That the figure is a share only the outcomes say.
    """
    faults = span_faults(_AT, metric, SHARE if measured.share else None)
    named = ((str(fault.location[-1]), fault.message) for fault in faults)
    return [Finding(State.INVALID, f"{name}: {message}", bound=name) for name, message in named]
