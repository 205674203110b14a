"""Measurements whose every figure a test can work out by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.judge.bounds import head, judge
from harness.judge.verdict import Finding, Place, State, overall
from harness.measurement import Labels, Measurement, Pairs, Timings
from harness.metrics.base import METRICS


class Judged:
    """One budget, judged: its findings and its sentence."""

    def __init__(self, findings: list[Finding], opening: str) -> None:
        self.findings = findings
        self.state: State = overall(findings)
        self.text = "; ".join(finding.text for finding in findings if finding.text)
        self.sentence = f"{opening}, {self.text} → {self.state}"


@pytest.fixture
def pairs() -> Callable[..., Pairs]:
    """Yes-or-no outcomes: what only the float model got right, what only the compressed one did, and both."""

    def make(lost: int, won: int, both: int, n: int, *, a_unit: int = 1, data: str = "d") -> Pairs:
        reference, compressed = np.zeros(n, bool), np.zeros(n, bool)
        reference[: lost + both] = True
        compressed[lost : lost + both + won] = True
        return Pairs(outcomes_reference=reference, outcomes=compressed, units=np.arange(n) // a_unit, data=data)

    return make


@pytest.fixture
def timings() -> Callable[..., Timings]:
    """Blocks whose medians are exactly the two times, with a spread as a share of them; milliseconds."""

    def make(reference: float, compressed: float, *, spread: float = 0.01, blocks: int = 20, **more: object) -> Timings:
        # Every block runs from −spread to +spread around 1, the middle of it shifted from block to block.
        shift = spread * np.linspace(-1, 1, blocks)[:, None] / 4
        shape = 1 + spread * np.linspace(-1, 1, 11)[None, :] + shift
        shape /= np.median(shape)
        return Timings.model_validate(
            {"blocks_reference": reference * 1e6 * shape[::-1], "blocks": compressed * 1e6 * shape, **more}
        )

    return make


@pytest.fixture
def labels() -> Callable[..., Labels]:
    """Labels of balanced classes, some of which the compressed model gets wrong."""

    def make(n: int, classes: int, wrong: int) -> Labels:
        targets = np.arange(n) % classes
        named = targets.copy()
        named[:wrong] = (named[:wrong] + 1) % classes
        return Labels(
            statistic="f1", targets=targets, labels_reference=targets, labels=named, units=np.arange(n), data="d"
        )

    return make


@pytest.fixture
def judged() -> Callable[..., Judged]:
    """Judge a measurement by the bounds of a budget."""

    def run(metric: str, measurement: Measurement, *, confidence: float = 0.95, place: Place | None = None,
            **bounds: float) -> Judged:  # fmt: skip
        budget = METRICS[metric](**bounds)
        return Judged(judge(budget, measurement, confidence, place), head(budget, measurement))

    return run
