"""What every kind of measurement answers, and how raw arrays travel."""

from __future__ import annotations

import base64
import math
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from harness.measurement.blocks import Blocks
from harness.measurement.doubts import LOAD_NOTICED, Doubt
from harness.registry import Part, Registry
from harness.statistics import Interval


def _pack(array: np.ndarray[Any, Any]) -> dict[str, object]:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def _unpack(value: object) -> object:
    if not isinstance(value, dict):
        return value
    try:
        raw = np.frombuffer(zlib.decompress(base64.b64decode(value["data"])), dtype=np.dtype(value["dtype"]))
        return raw.reshape(value["shape"])
    except (zlib.error, KeyError, TypeError, ValueError) as error:
        # The kind of error that validation gathers: a file was edited, or is not what it says.
        raise ValueError(f"is no packed array: {error}") from error


Array = Annotated[
    np.ndarray[Any, Any], BeforeValidator(_unpack), PlainSerializer(_pack), WithJsonSchema({"type": "object"})
]


def _plain(figure: float) -> float | str:
    return figure if math.isfinite(figure) else str(figure)


# JSON has no infinity: where the outermost model does not say otherwise, pydantic would write null and lose it.
Figure = Annotated[float, PlainSerializer(_plain, return_type=float | str, when_used="json")]


# What a baseline holds a later run to: the figure itself, its ratio to float, or the outcomes that both are paired by.
Kept = Literal["value", "ratio", "outcomes"]
# No compression makes a sound model so much better: a share of samples, a correlation; and a share of a distance or a
# perplexity, which no training on the way halves.
SHARE_GAIN, COST_GAIN = 0.10, 0.50
# The columns of a table with a line a sample.
UNIT, TARGET, FLOAT, COMPRESSED = "unit", "target", "float", "compressed"
# What it means to be lost, and to be won, of samples that are either.
RIGHT_OR_WRONG = "float right, compressed wrong", "float wrong, compressed right"


class Base(Part):
    """What every kind of measurement answers. A kind is one module, with `@MEASUREMENTS.register`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")
    exact: ClassVar[bool] = False
    # A time or a rate: of one machine, and what others do there may move it.
    timed: ClassVar[bool] = False
    # Read several times: its bounds are the least and the greatest reading, whatever confidence is asked for.
    repeated: ClassVar[bool] = False
    kept: ClassVar[Kept] = "outcomes"
    kind: str
    details: dict[str, Figure] = Field(default_factory=dict, description="further figures, reported and never gated")

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

    @property
    def share(self) -> bool:
        """Whether the figure is a share of samples, or an average of shares: nothing above 1, nothing below 0."""
        return False

    @property
    def plausible(self) -> float | None:
        """By how much the compressed model's figure may be better than the float one's; None where nothing is known.

        More points to a float model that was not loaded, or fed, as it was trained.
        """
        return SHARE_GAIN if self.share else None

    @property
    def extent(self) -> str:
        """What the figures stand on, as a sentence says it: ``397 samples``."""
        return f"{self.n} samples"

    def tally(self, *, higher_is_better: bool) -> str:
        """What a difference of both figures stands on, as a clause: ``over 397 samples``."""
        return f"over {self.extent}"

    @property
    def counted_in(self) -> str:
        """What there would have to be more of to tell more."""
        return "units"

    def needed(self, interval: Interval, limit: float, *, drop: bool) -> float:
        """How many of them leave a limit outside the interval of what it bounds, if the estimate stays.

        Widths shrink with the root of their number.

        Args:
            interval: of the contrast that is bounded, from `n` of them.
            limit: what it is held to.
            drop: whether the contrast is `drop`, or a rise, and no ratio.
        """
        gap = abs(limit - interval.estimate)
        half = interval.upper - interval.estimate if interval.estimate < limit else interval.estimate - interval.lower
        return (self.n or 0) * (half / gap) ** 2 if gap > 0 and math.isfinite(half) else math.inf

    def doubts(self, confidence: float, slower: float = 0.0) -> list[Doubt]:
        """Why the ratio may be further off than its interval says; none where only what was sampled moves it.

        Args:
            confidence: of each bound.
            slower: by which share the float model is slower than where its baseline was accepted.
        """
        return []

    def others(self) -> float:
        """Share of processor time that others took while it was taken; 0 of what they cannot move."""
        return 0.0

    def beside_others(self) -> bool:
        """Whether others took so much that the figures are no yardstick for later runs."""
        return self.others() > LOAD_NOTICED

    def unsettled(self) -> bool:
        """Whether anything from outside may have moved the figures, so that neither verdict of them says much."""
        return self.beside_others()

    def course(self) -> Blocks | None:
        """How the measurement went, for a report to draw; None of what has no course."""
        return None

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """What a table beside the report holds, by title; empty where nothing was measured by sample.

        `float` and `compressed` are outcomes that `weighin verdict` judges as the gate does. Whatever it would judge in
        another way has other titles, and more than two of them, so that it takes none for outcomes by itself.
        """
        return {}

    def ids(self, names: Sequence[str]) -> list[str]:
        """What each line of `columns` is called; empty where there is none, or one without a name.

        Here a line is a sample, from the first on.

        Args:
            names: of all evaluated samples.
        """
        lines = max(map(len, self.columns.values()), default=0)
        return list(names[:lines]) if lines <= len(names) else []

    def against(self, earlier: Base) -> Base | None:
        """This measurement paired with an earlier one of the same samples, the earlier in the float model's place.

        None where the two cannot be paired: another kind, or other samples.
        """
        return None

    def alone(self, *, reference: bool = False) -> Interval:
        """The figure of one side, the compressed model's or the float one's: without width, unless it is `repeated`."""
        figure = self.reference if reference else self.value
        point = math.nan if figure is None else figure
        return Interval(point, point, point, 1.0, "exact")

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float: the drop's interval over the float figure, where a kind has none of its own.

        NaN where the float figure is not above 0: a ratio to it means nothing.
        """
        drop, at = self.drop(confidence), self.reference
        if at is None or not at > 0:
            return Interval(math.nan, math.nan, math.nan, confidence, drop.method)
        return Interval(1 - drop.estimate / at, 1 - drop.upper / at, 1 - drop.lower / at, confidence, drop.method)

    @abstractmethod
    def drop(self, confidence: float) -> Interval:
        """Float − compressed."""


class Sampled(Base):
    """What both models made of the same samples, each of which belongs to a sampling unit.

    Attributes:
        units: shape (samples,), the sampling unit of each sample; samples of one unit are not independent.
        data: fingerprint of the samples, so that outcomes of two runs are paired only where they may be.
    """

    units: Array
    data: str

    @property
    def n(self) -> int:
        """Sampling units."""
        return int(np.unique(self.units).size)

    @property
    def extent(self) -> str:
        """Samples, and their units where those are fewer."""
        samples = len(self.units)
        return f"{samples} samples of {self.n} units" if samples != self.n else f"{self.n} samples"

    @property
    def counted_in(self) -> str:
        """Samples, or their units where those are fewer."""
        return "samples" if len(self.units) == self.n else "units"

    @property
    def changed(self) -> tuple[str, str]:
        """What it means for a sample to be `lost` and to be `won`, as a report heads their names."""
        return "worse than float", "better than float"

    @property
    def alike(self) -> bool:
        """Whether the two models made the same of every sample."""
        return self.lost.size == 0 and self.won.size == 0

    def needed(self, interval: Interval, limit: float, *, drop: bool) -> float:
        """How many units it takes: where the models differ on none, widths shrink with their number, not its root."""
        needed = super().needed(interval, limit, drop=drop)
        return (self.n * needed) ** 0.5 if self.alike else needed

    @property
    @abstractmethod
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of samples on which the compressed model does worse, for the report to name."""

    @property
    @abstractmethod
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of samples on which the compressed model does better."""


MEASUREMENTS: Registry[Base] = Registry("measurement", "kind")
