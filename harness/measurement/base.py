"""What every kind of measurement answers, and how raw arrays travel."""

from __future__ import annotations

import base64
import math
import zlib
from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

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


class Base(BaseModel):
    """What every kind of measurement answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")
    exact: ClassVar[bool] = False
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
    def extent(self) -> str:
        """What the figures stand on, as a sentence says it: ``397 samples``."""
        return f"{self.n} samples"

    def against(self, earlier: Base) -> Base | None:
        """This measurement paired with an earlier one of the same samples, the earlier in the float model's place.

        None where the two cannot be paired: another kind, or other samples.
        """
        return None

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
    @abstractmethod
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of samples on which the compressed model does worse, for the report to name."""

    @property
    @abstractmethod
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of samples on which the compressed model does better."""
