"""A green case whose every figure a test can choose."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.judge.baseline import Accepted, CaseBaseline, Machine
from harness.judge.standing import Standing
from harness.measurement import Exact, Measurement, Pairs, Timings
from harness.mutants.base import Green
from harness.run.environment import environment
from harness.run.result import Result
from harness.spec.schema import Spec

KERNELS = "torch AVX2"


def spec_of(budgets: dict[str, dict[str, float]]) -> Spec:
    return Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {"source": "zoo", "name": "lenet5-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": budgets,
        }
    )


def result_of(measurements: dict[str, Measurement], kernels: str = KERNELS) -> Result:
    return Result(spec="mine", measurements=measurements, kernels=kernels, environment=environment())


@pytest.fixture
def green() -> Callable[..., Green]:
    """Budgets and what was measured; `accepted` goes to the portable part, `timed` to this machine's."""

    def make(
        budgets: dict[str, dict[str, float]],
        measurements: dict[str, Measurement],
        accepted: dict[str, Accepted] | None = None,
        timed: dict[str, Accepted] | None = None,
    ) -> Green:
        machines = {"here": Machine(environment={}, threads=1, labels=timed)} if timed else {}
        standing = Standing(CaseBaseline(portable=accepted or {}, machines=machines), "here")
        return Green(spec_of(budgets), result_of(measurements), standing, tuple(measurements))

    return make


@pytest.fixture
def size() -> Callable[..., Exact]:
    return lambda value, reference=10.0: Exact(measured=value, measured_reference=reference)


@pytest.fixture
def right() -> Callable[..., Pairs]:
    """So many of n right, of both models."""

    def make(compressed: int, reference: int, n: int) -> Pairs:
        outcomes = [np.arange(n) < count for count in (reference, compressed)]
        return Pairs(outcomes_reference=outcomes[0], outcomes=outcomes[1], units=np.arange(n), data="d")

    return make


@pytest.fixture
def times() -> Callable[..., Timings]:
    """Blocks whose medians are exactly these milliseconds, with half a percent of spread between blocks."""

    def make(compressed: float, reference: float, **more: object) -> Timings:
        shape = 1 + 0.005 * np.linspace(-1, 1, 21)[:, None] * np.ones((1, 5))
        return Timings.model_validate(
            {"blocks_reference": reference * 1e6 * shape[::-1], "blocks": compressed * 1e6 * shape, **more}
        )

    return make


@pytest.fixture
def entry() -> Callable[..., Accepted]:
    def make(metric: str, value: float, **more: object) -> Accepted:
        fields = {"metric": metric, "metric_version": 1, "value": value, "reference": None, "kernels": KERNELS, **more}
        return Accepted.model_validate(fields)

    return make
