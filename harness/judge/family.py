"""The budgets of one case as one decision: a wrong FAIL among all of them is no more likely than of a single one.

All budgets must pass, so a model that breaks one is let through only if that one verdict errs: the side of PASS needs
no correction (Berger 1982). Each budget has its own chance to fail a good model, though, and these chances add up: the
side of FAIL is judged by Holm's procedure. What it takes back is INCONCLUSIVE, and still not green.

A family holds every claim that a case's budgets make about samples which were not seen, measured or not: what it takes
to refute one does not depend on which budgets a run selects. The comparisons with stored baselines are a family of
their own: they ask another question. Times are in neither: they are decided on blocks of their own, by a sampler that
stops at a decision and answers for its own error rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from harness.judge.baseline import Accepted
from harness.judge.bounds import breached
from harness.judge.claim import claims
from harness.judge.figures import percent
from harness.judge.regression import compare
from harness.judge.verdict import Finding, State
from harness.measurement import Measurement
from harness.metrics.base import Metric
from harness.statistics import holm_confidence


def broken(metric: Metric, findings: Iterable[Finding]) -> bool:
    """Whether any claim of a budget fails, so that it matters at which confidence."""
    return any(finding.state is State.FAIL and finding.bound in claims(metric) for finding in findings)


def proof(budgets: Mapping[str, Metric], measurements: Mapping[str, Measurement], confidence: float) -> float:
    """The confidence at which a breach of any of these budgets is proven.

    Args:
        budgets: label → budget, all of a case.
        measurements: label → raw values of both sides; a budget that was not measured stays a claim that may be true.
        confidence: that no budget which is kept is failed.
    """

    def refuted(label: str, name: str, level: float) -> bool:
        measured = measurements.get(label)
        return measured is not None and measured.n != 0 and breached(budgets[label], measured, name, level)

    family = [partial(refuted, label, name) for label, metric in budgets.items() for name in claims(metric)]
    return holm_confidence(family, confidence)


def compared(
    budgets: Mapping[str, Metric],
    measurements: Mapping[str, Measurement],
    accepted: Mapping[str, Accepted],
    label: str,
    confidence: float,
    kernels: str,
) -> Finding:
    """One budget's measurement held to what was accepted, as one of several that are.

    Args:
        budgets: label → budget, all of a case.
        measurements: label → raw values of both sides.
        accepted: label → what was accepted; `label` is among them.
        label: which budget.
        confidence: that no budget is failed which has not become worse.
        kernels: the engine and its instruction set.
    """

    def held(one: str, level: float) -> Finding:
        return compare(budgets[one], measurements[one], accepted[one], level, kernels)

    found = held(label, confidence)
    if found.state is not State.FAIL or accepted[label].outcomes is None:
        return found
    sampled = [one for one in budgets if one in accepted and accepted[one].outcomes is not None]

    def regressed(one: str, level: float) -> bool:
        return one in measurements and held(one, level).state is State.FAIL

    level = holm_confidence([partial(regressed, one) for one in sampled], confidence)
    if regressed(label, level):
        return found
    together = round((1 - confidence) / (1 - level))
    worse = found.text.removeprefix("proven ")
    text = f"{worse}, but not proven at the {percent(level)} that {together} comparisons ask for"
    return replace(found, state=State.INCONCLUSIVE, text=text)
