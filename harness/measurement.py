"""What a metric hands to the judge: raw values of both sides, never a rounded number.

Each kind knows the point values, how many sampling units stand behind them, and the intervals of the two contrasts
that budgets bound: the *ratio* compressed ÷ float and the *drop* float − compressed.
"""

from __future__ import annotations

import base64
import zlib
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from harness.statistics import (
    Interval,
    mean_difference,
    mean_ratio,
    median_ratio,
    proportion_difference,
    proportion_ratio,
)


def _pack(array: np.ndarray[Any, Any]) -> dict[str, object]:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def _unpack(value: object) -> object:
    if not isinstance(value, dict):
        return value
    raw = np.frombuffer(zlib.decompress(base64.b64decode(value["data"])), dtype=np.dtype(value["dtype"]))
    return raw.reshape(value["shape"])


Array = Annotated[
    np.ndarray[Any, Any], BeforeValidator(_unpack), PlainSerializer(_pack), WithJsonSchema({"type": "object"})
]


class Base(BaseModel):
    """What every kind of measurement answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    exact: ClassVar[bool] = False
    details: dict[str, float] = Field(default_factory=dict, description="further figures, reported and never gated")

    @property
    @abstractmethod
    def value(self) -> float:
        """The compressed model's figure."""

    @property
    @abstractmethod
    def reference(self) -> float | None:
        """The float model's figure."""

    @property
    def n(self) -> int | None:
        """Sampling units behind the figures; None where nothing is sampled."""
        return None

    @abstractmethod
    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float."""

    @abstractmethod
    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""


class Exact(Base):
    """A count: the same on every run, so its intervals have no width."""

    exact: ClassVar[bool] = True
    kind: Literal["exact"] = "exact"
    measured: float
    measured_reference: float

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return self.measured

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return self.measured_reference

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float."""
        return _point(self.value / self.reference if self.reference else float("nan"), confidence)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""
        return _point(self.reference - self.value, confidence)


class Pairs(Base):
    """Per-sample outcomes of both models on the same samples: right or wrong (bool), or a score (float).

    Attributes:
        outcomes_reference, outcomes: shape (samples,).
        units: shape (samples,), the sampling unit of each sample; samples of one unit are not independent.
        data: fingerprint of the samples, so that outcomes of two runs are paired only where they may be.
    """

    kind: Literal["pairs"] = "pairs"
    outcomes_reference: Array
    outcomes: Array
    units: Array
    data: str

    @property
    def value(self) -> float:
        """Mean outcome of the compressed model."""
        return float(self.outcomes.mean())

    @property
    def reference(self) -> float:
        """Mean outcome of the float model."""
        return float(self.outcomes_reference.mean())

    @property
    def n(self) -> int:
        """Sampling units."""
        return int(np.unique(self.units).size)

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the float model got right and the compressed one wrong."""
        return np.flatnonzero(self.outcomes_reference > self.outcomes)

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of samples that the compressed model got right and the float one wrong."""
        return np.flatnonzero(self.outcomes_reference < self.outcomes)

    @property
    def independent(self) -> bool:
        """Whether the samples are yes-or-no and each its own unit, so that an interval for proportions applies."""
        return bool(self.outcomes.dtype == np.bool_ and self.n == self.outcomes.size)

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float ("recovery")."""
        if self.independent:
            both = int((self.outcomes_reference & self.outcomes).sum())
            return proportion_ratio(self.won.size, self.lost.size, both, self.n, confidence)
        return mean_ratio(self.outcomes_reference.astype(float), self.outcomes.astype(float), self.units, confidence)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""
        if self.independent:
            return proportion_difference(self.won.size, self.lost.size, self.n, confidence)
        return mean_difference(
            self.outcomes_reference.astype(float), self.outcomes.astype(float), self.units, confidence
        )


class Timings(Base):
    """Nanoseconds a call, in interleaved blocks.

    Attributes:
        blocks_reference, blocks: shape (blocks, calls).
        batch: samples a call.
        rate: whether the figure is a rate (samples a second) and not a time (milliseconds a call).
        load: share of processor time that others took while sampling; 0 on an idle machine.
        level: confidence that each bound's interval is due after repeated looks; None where there was one look.
    """

    kind: Literal["timings"] = "timings"
    blocks_reference: Array
    blocks: Array
    batch: int = 1
    rate: bool = False
    load: float = 0.0
    level: float | None = None

    def _figure(self, blocks: np.ndarray[Any, Any]) -> float:
        median = float(np.median(blocks))
        return self.batch * 1e9 / median if self.rate else median / 1e6

    @property
    def value(self) -> float:
        """Median milliseconds a call, or samples a second."""
        return self._figure(self.blocks)

    @property
    def reference(self) -> float:
        """The float model's median."""
        return self._figure(self.blocks_reference)

    @property
    def n(self) -> int:
        """Blocks."""
        return int(self.blocks.shape[0])

    def ratio(self, confidence: float) -> Interval:
        """Ratio of medians, by a bootstrap over blocks."""
        sides = (self.blocks, self.blocks_reference) if self.rate else (self.blocks_reference, self.blocks)
        # Repeated looks spend error: the interval is widened, and still stands for the confidence that was asked for.
        spent = median_ratio(*sides, self.level or confidence)
        return Interval(spent.estimate, spent.lower, spent.upper, confidence, spent.method)

    def drop(self, confidence: float) -> Interval:
        """Float − compressed, in the metric's unit: the ratio's interval on the float median."""
        ratio, at = self.ratio(confidence), self.reference
        return Interval(
            at * (1 - ratio.estimate), at * (1 - ratio.upper), at * (1 - ratio.lower), confidence, ratio.method
        )


def _point(value: float, confidence: float) -> Interval:
    return Interval(value, value, value, confidence, "exact")


