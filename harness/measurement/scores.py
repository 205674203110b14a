"""What both models scored each evaluation sample: told beside their outcomes in a table, and part of no figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.measurement.base import COMPRESSED, FLOAT, Array, Base


class Scores(BaseModel):
    """One number a sample and model, such as the probability of the true class.

    It stands beside measurements and in none of them: a baseline keeps these whole.

    Attributes:
        reference, compressed: shape (samples,), of all evaluated samples in their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    reference: Array
    compressed: Array

    def columns(self, measured: Base, names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
        """What a table tells of them behind the columns of a measurement, by title.

        Empty where its lines are not the evaluated samples, all of them and in their order; where it tells no outcomes
        of both models, which `weighin verdict` finds by their titles whatever else is there; and where scores are not
        one number a sample. A title that the measurement has itself stays its own.

        Args:
            measured: both sides, as the table holds them.
            names: of all evaluated samples.
        """
        own = measured.columns
        added = {"float_score": self.reference, "compressed_score": self.compressed}
        outcomes = FLOAT in own and COMPRESSED in own
        one_each = all(side.shape == (len(names),) for side in added.values())
        if not (outcomes and one_each) or measured.ids(names) != list(names):
            return {}
        return {title: side for title, side in added.items() if title not in own}
