"""What every metric is. A budget in a spec *is* a metric's options, with the bounds that it must keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from harness.errors import Unmeasurable
from harness.evidence import Evidence
from harness.measurement import Exact, Measurement, Timings
from harness.registry import Options, Registry
from harness.statistics import Interval
from harness.tasks.base import Evaluation

Better = Literal["higher", "lower"]

# Bounds on the compressed model's own value, on the ratio to float, on the difference to float, and on float itself.
BOUNDS = ("min", "max", "min_ratio", "max_ratio", "max_drop", "max_rise", "reference_min", "reference_max")


@dataclass(frozen=True)
class Side:
    """One model as it is measured: an artifact that was reloaded in this process.

    Attributes:
        bytes: size of every file of the artifact.
        evidence: counts over the reloaded artifact.
        macs: multiply-accumulate operations on one sample.
        peak_bytes: growth of the process's peak resident memory while a fresh process loads and runs the artifact,
            over its state after imports; None where no budget asks for it.
    """

    bytes: int
    evidence: Evidence
    macs: int
    peak_bytes: int | None = None


class Bench(ABC):
    """What a metric may measure with: both sides, reloaded, in one process."""

    reference: Side
    compressed: Side

    @abstractmethod
    def evaluation(self) -> Evaluation:
        """Both models' answers on the whole evaluation split; computed once and shared by all budgets.

        Raises:
            DataError: the spec names no data.
        """

    @abstractmethod
    def timings(self, batch: int | None, limits: Sequence[float], *, rate: bool = False) -> Timings:
        """Interleaved timings of both models, sampled until every limit on the ratio is decided or the cap is met.

        Args:
            batch: samples a call; None for the spec's `measure.batch`.
            limits: limits on compressed ÷ float of the figure.
            rate: whether the figure is samples a second and not milliseconds a call.
        """


class Metric(Options):
    """One entry of `budgets:`: what is measured, and the bounds that it must keep."""

    metric: str
    min: float | None = Field(default=None, description="least allowed value")
    max: float | None = Field(default=None, description="greatest allowed value")
    min_ratio: float | None = Field(default=None, gt=0, description="least allowed compressed ÷ float")
    max_ratio: float | None = Field(default=None, gt=0, description="greatest allowed compressed ÷ float")
    max_drop: float | None = Field(default=None, ge=0, description="float − compressed must be proven below this")
    max_rise: float | None = Field(default=None, ge=0, description="compressed − float must be proven below this")
    reference_min: float | None = Field(default=None, description="the float model itself must reach this")
    reference_max: float | None = Field(default=None, description="the float model itself must not exceed this")
    regress: float | None = Field(
        default=None,
        ge=0,
        description="how far from the stored baseline is still no regression; the metric's default otherwise",
    )
    because: str | None = Field(
        default=None,
        pattern=r"\S",
        description="why the bounds are these: `audit` asks for a new one where they loosen",
    )

    unit: ClassVar[str] = ""
    better: ClassVar[Better]
    version: ClassVar[int] = 1
    # Between which figures every value lies, where it does: a share is never above 1.
    span: ClassVar[tuple[float, float] | None] = None
    # Relative by nature: even `min` and `max` are claims about the interval and not about the point.
    relative: ClassVar[bool] = False
    # Belongs to one machine: kept in a baseline's machine section, and absolute bounds hold only there.
    machine: ClassVar[bool] = False
    # Needs one fresh process a side.
    isolated: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str] | None] = None
    # Default for `regress`: relative for counts and times (0.01 is one percent), absolute for accuracies.
    tolerance: ClassVar[float] = 0.0

    @abstractmethod
    def measure(self, bench: Bench) -> Measurement:
        """Raw values of both sides.

        Raises:
            Unmeasurable: there is nothing to measure, and why.
        """

    def bounds(self) -> dict[str, float]:
        """The bounds that this budget sets, by name."""
        return {name: getattr(self, name) for name in BOUNDS if getattr(self, name) is not None}

    def ratio_limits(self) -> tuple[float, ...]:
        """The limits on compressed ÷ float."""
        return tuple(limit for limit in (self.min_ratio, self.max_ratio) if limit is not None)


class Counted(Metric):
    """A metric that is counted on the artifact: the same on every run."""

    tolerance: ClassVar[float] = 0.01

    # A count that no model has: nothing was counted then, and a ratio of it would pass every `max_ratio`.
    nothing: ClassVar[str] = ""

    @abstractmethod
    def count(self, side: Side) -> float:
        """The figure of one side."""

    def measure(self, bench: Bench) -> Exact:
        """Both sides' counts.

        Raises:
            Unmeasurable: a count that every model has came out as 0.
        """
        reference, compressed = self.count(bench.reference), self.count(bench.compressed)
        for name, figure in (("float", reference), ("compressed", compressed)):
            if self.nothing and figure == 0:
                raise Unmeasurable(f"{self.nothing} on the {name} artifact: it holds none, or its runtime counts none")
        return Exact(measured=compressed, measured_reference=reference)


METRICS: Registry[Metric] = Registry("metrics", "metric")

__all__ = ["BOUNDS", "METRICS", "Bench", "Better", "Counted", "Interval", "Measurement", "Metric", "Side"]
