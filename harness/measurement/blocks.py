"""How a timing went, for a report to draw: what is left of raw readings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Blocks(BaseModel):
    """Median milliseconds a call of each block, in the order in which the pairs ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: tuple[float, ...]
    compressed: tuple[float, ...]
    control: tuple[float, ...] = Field(default=(), description="the float model once more in every pair")
    batch: int
    calls: tuple[int, int] = Field(default=(1, 1), description="calls that one reading of the clock spans, each side")
    load: float = Field(description="share of processor time that others took meanwhile")
    waited: float = Field(default=0.0, description="share of the time spent waiting for a processor")
    disturbed: float = Field(default=0.0, description="share of readings during which the processor was lost")
    noise: float | None = Field(default=None, description="how far from 1 float ÷ float may be in this run")
    drift: float = Field(default=0.0, description="float in the second half of the run ÷ in the first, less 1")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Compressed ÷ float of each pair, with the control in float's share where there is one."""
        floats = zip(self.reference, self.control or self.reference, strict=True)
        return tuple(2 * one / sum(pair) for one, pair in zip(self.compressed, floats, strict=True))
