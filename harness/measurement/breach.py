"""What an earlier take of the same times proved, and a later one has to bear out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Breach(BaseModel):
    """A breach that an earlier take proved.

    Attributes:
        bounds: the names of the bounds that it broke, `regress` among them.
        lower, upper: bounds of its ratio.
        even: bounds that one take broke and the next one kept: it is one against one, and this take decides, where it
            proves either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    bounds: tuple[str, ...]
    lower: float
    upper: float
    even: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"an earlier take proved a breach, [{self.lower:.3f}, {self.upper:.3f}]"
