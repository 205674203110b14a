from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import Unmeasurable
from harness.evidence import Evidence, TensorFact
from harness.measurement import Readings
from harness.metrics.base import METRICS, Bench, Side

SOUND = Side(
    bytes=4_000, counting=lambda: 1_000, peak_bytes=(5_000, 4_000, 6_000),
    evidence=Evidence(
        operators={"mm": 1}, tensors=(TensorFact(name="w", dtype="float32", shape=(10, 100), zeros=250),)
    ),
)  # fmt: skip
NOTHING = Side(bytes=0, counting=lambda: 0, peak_bytes=(5_000, 0, 6_000), evidence=Evidence(operators={}, tensors=()))


class Counts(Bench):
    """Two sides, and nothing that could be run."""

    def __init__(self, reference: Side, compressed: Side) -> None:
        self.reference, self.compressed = reference, compressed

    def evaluation(self):  # type: ignore[no-untyped-def]
        raise AssertionError

    def timings(self, batch, limits, *, rate=False, whole=False):  # type: ignore[no-untyped-def]
        raise AssertionError


@pytest.mark.parametrize("side", ["float", "compressed"])
@pytest.mark.parametrize("name", ["size_mb", "params_m", "macs_g", "flops_g"])
def test_a_count_of_nothing_passes_no_limit(name: str, side: str) -> None:
    metric = METRICS[name](metric=name, max_ratio=0.5)
    assert metric.measure(Counts(SOUND, SOUND)).ratio(0.95).estimate == 1
    sides = (NOTHING, SOUND) if side == "float" else (SOUND, NOTHING)
    with pytest.raises(Unmeasurable, match=f"on the {side} artifact: it holds none, or its runtime counts none"):
        metric.measure(Counts(*sides))


def test_a_share_of_no_weights_is_no_sparsity() -> None:
    metric = METRICS["sparsity"](metric="sparsity", min=0.1)
    assert metric.measure(Counts(SOUND, SOUND)).value == 0.25
    with pytest.raises(Unmeasurable, match="a share of nothing is no sparsity"):
        metric.measure(Counts(SOUND, NOTHING))


def test_memory_is_every_reading_in_megabytes() -> None:
    budget = METRICS["peak_memory_mb"](metric="peak_memory_mb", max_ratio=0.5)
    measured = budget.measure(Counts(replace(SOUND, peak_bytes=(20_000, 10_000, 30_000)), SOUND))
    assert isinstance(measured, Readings)
    assert measured.figures_reference == (0.02, 0.01, 0.03)
    assert measured.figures == (0.005, 0.004, 0.006)
    assert (measured.value, measured.reference, budget.version) == (0.005, 0.02, 2)


def test_memory_that_did_not_grow_was_not_seen() -> None:
    metric = METRICS["peak_memory_mb"](metric="peak_memory_mb", max_ratio=0.5)
    assert metric.measure(Counts(SOUND, SOUND)).value == 0.005
    with pytest.raises(Unmeasurable, match="the memory did not grow"):
        metric.measure(Counts(SOUND, NOTHING))
