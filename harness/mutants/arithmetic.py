"""Whether a budget owes the catch of a change of known size: arithmetic on limits and figures, and never a verdict.

The gate passes nothing whose figure lies beyond a limit, so a budget owes whatever moves the figure there. It calls a
regression only what is proven, so a baseline owes what moves the figure past its tolerance by more than noise: twice
the standard error of a share, √(change ÷ n), or twice the width of a time's interval.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from harness.judge.baseline import Accepted
from harness.judge.figures import number, ratio_text
from harness.mutants.base import Budget, Claim, Green
from harness.run.result import Result


def answering(green: Green) -> list[str]:
    """The budgets that bound what the model answers."""
    return [label for label, budget in green.budgets().items() if budget.metric.needs_data]


def exhaustive(green: Green) -> list[str]:
    """The budgets that are measured on every evaluation sample, and can tell that some are gone."""
    budgets = green.budgets()
    return [label for label in answering(green) if not budgets[label].metric.partial]


def counted(green: Green, metric: str, factor: float) -> Claim:
    """A count that becomes `factor` times what it is."""
    owed, missing = {}, []
    for label, budget in green.budgets().items():
        measured = budget.measured
        if budget.metric.metric != metric or measured.kept != "value":
            continue
        value = factor * measured.value
        why = _beyond(budget, value) or _past_count(budget, value)
        if why:
            owed[label] = why
        elif measured.reference:
            missing.append(f"{label} max_ratio below {ratio_text(value / measured.reference)}")
    return Claim(owed, _either(missing, f"a budget on {metric}"))


def sampled(green: Green, mutated: Result, labels: Collection[str]) -> Claim:
    """Accuracies, by what the mutant made of them."""
    owed, missing = {}, []
    budgets = green.budgets()
    for label in labels:
        budget, now = budgets[label], mutated.measurements.get(label)
        if now is None or now.value == budget.measured.value:
            continue
        why = _beyond(budget, now.value)
        if not why and budget.accepted is not None and budget.accepted.kernels == green.result.kernels:
            why = _past_share(budget, now.value, budget.accepted, now.n or 1)
        if why:
            owed[label] = why
        else:
            missing.append(f"{label} max_drop below {number((budget.measured.reference or 0.0) - now.value)}")
    otherwise = "nothing, for it moves no figure of this task" if labels else "a budget on what the model answers"
    return Claim(owed, _either(missing, otherwise))


def timed(green: Green, extra: float) -> Claim:
    """Times that grow by a share, and rates that fall with them."""
    owed, missing = {}, []
    for label, budget in green.budgets().items():
        measured, accepted = budget.measured, budget.accepted
        if not measured.timed:
            continue
        held = measured.ratio(green.spec.measure.confidence)
        slower = budget.metric.better == "lower"
        # The good side of the interval: what noise may make of the ratio, before the change and after it.
        good, change = (held.lower, 1 + extra) if slower else (held.upper, 1 / (1 + extra))
        ratio = good * change
        value = measured.value * (ratio / held.estimate)
        why = _beyond(budget, value, ratio=ratio)
        twice = ratio * good / held.estimate
        if not why and accepted is not None and accepted.ratio is not None:
            tolerance = budget.tolerance
            distance = twice / accepted.ratio[2] if slower else accepted.ratio[0] / twice
            if distance > 1 + tolerance:
                why = f"{distance - 1:.1%} beyond the baseline's ratio, {tolerance:.0%} tolerated"
        if why:
            owed[label] = why
        else:
            bound = "max_ratio below" if slower else "min_ratio above"
            missing.append(f"{label} {bound} {ratio_text(ratio)}")
    return Claim(owed, _either(missing, "a budget on a time"))


def _beyond(budget: Budget, value: float, *, ratio: float | None = None) -> str:
    """The bound that a figure breaks, as a clause; empty where it keeps all."""
    given = budget.measured.reference
    reference = math.nan if given is None else given
    quotient = ratio if ratio is not None else value / reference if reference else math.nan
    found: dict[str, tuple[float, bool]] = {
        "max_ratio": (quotient, True), "min_ratio": (quotient, False),
    }  # fmt: skip
    if budget.absolute:
        found |= {
            "max": (value, True), "min": (value, False),
            "max_rise": (value - reference, True), "max_drop": (reference - value, True),
        }  # fmt: skip
    for name, (figure, ceiling) in found.items():
        limit = getattr(budget.metric, name)
        if limit is not None and (figure > limit if ceiling else figure < limit):
            return f"{number(figure)}, {name} {number(limit)}"
    return ""


def _past_count(budget: Budget, value: float) -> str:
    accepted, tolerance = budget.accepted, budget.tolerance
    if accepted is None:
        return ""
    rise = (value - accepted.value) * (1 if budget.metric.better == "lower" else -1)
    if rise <= tolerance * abs(accepted.value):
        return ""
    return f"{rise / abs(accepted.value):.1%} beyond the baseline, {tolerance:.1%} tolerated"


def _past_share(budget: Budget, value: float, accepted: Accepted, n: int) -> str:
    tolerance = budget.tolerance
    loss = (accepted.value - value) * (1 if budget.metric.better == "higher" else -1)
    if loss <= 0 or loss - 2 * math.sqrt(loss / n) <= tolerance:
        return ""
    return f"{number(loss)} below the baseline, {number(tolerance)} tolerated"


def _either(missing: list[str], otherwise: str) -> str:
    return " or ".join(missing) or otherwise
