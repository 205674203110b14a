"""Fréchet inception distance."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from harness.errors import Unmeasurable
from harness.measurement import Measurement
from harness.metrics.base import METRICS, Bench, Better
from harness.metrics.generated import Compared


@METRICS.register
class Fid(Compared):
    """Fréchet distance (Heusel et al. 2017), biased at any number of images: reported with `kid`, and no budget."""

    metric: Literal["fid"] = "fid"
    better: ClassVar[Better] = "lower"

    @model_validator(mode="after")
    def _is_no_budget(self) -> Fid:
        if self.bounds():
            raise ValueError(
                "the Fréchet distance grows as images get fewer, by an amount that depends on the model, so a limit on "
                "it says as much about their number as about them: bound `kid`, which is unbiased, and whose details "
                "report `fid`"
            )
        return self

    def measure(self, bench: Bench) -> Measurement:
        """Nothing: no spec can ask for it."""
        raise Unmeasurable("the Fréchet distance is reported in the details of `kid`")
