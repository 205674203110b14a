"""Models that ship with weighin, each with the recipe that trained it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from harness.errors import UnknownName
from harness.sources import shelf
from harness.sources.base import SOURCES, Source, fit_weights, read_weights

if TYPE_CHECKING:
    from torch import nn


def _known(name: str) -> str:
    known = shelf.names()
    if name not in known:
        raise ValueError(str(UnknownName("zoo model", name, known)))
    return name


@SOURCES.register
class Zoo(Source):
    """A model of the zoo: small, trained on data that needs no hub, and the same wherever weighin is installed."""

    source: Literal["zoo"] = "zoo"
    name: Annotated[str, AfterValidator(_known)] = Field(
        description="a model of the zoo", json_schema_extra={"enum": [*shelf.names()]}
    )

    def load(self, root: Path) -> nn.Module:
        """The model with its shipped weights, in evaluation mode.

        Raises:
            SourceError: the weights are missing or do not fit.
        """
        entry = shelf.read(self.name, shelf.Entry)
        model = entry.model.build(seed=0)
        if entry.packages:
            return model
        weights = shelf.folder() / self.name / shelf.WEIGHTS
        return fit_weights(model, read_weights(weights), str(weights))

    def modules(self) -> tuple[str, ...]:
        """Of the factory: weights say nothing of how the layers that hold them are wired."""
        return (shelf.read(self.name, shelf.Entry).model.factory.partition(":")[0],)

    def fingerprint(self, root: Path) -> str:
        """The sha256 over recipe and weights."""
        return shelf.fingerprint(self.name)
