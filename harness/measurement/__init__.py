"""What a metric hands to the judge: raw values of both sides, never a rounded number.

Each kind knows the point values, how many sampling units stand behind them, and the intervals of the two contrasts
that budgets bound: the *ratio* compressed ÷ float and the *drop* float − compressed. A kind is one file.
"""

from typing import Annotated

from pydantic import Field

from harness.measurement.average_precision import AveragePrecision
from harness.measurement.base import Array, Base, Sampled
from harness.measurement.correlation import Correlation
from harness.measurement.exact import Exact
from harness.measurement.finds import Finds
from harness.measurement.generated import Generated
from harness.measurement.labels import Labels
from harness.measurement.pairs import Pairs
from harness.measurement.timings import Timings
from harness.measurement.totals import Totals

Measurement = Annotated[
    AveragePrecision | Correlation | Exact | Finds | Generated | Labels | Pairs | Timings | Totals,
    Field(discriminator="kind"),
]

__all__ = [
    "Array", "AveragePrecision", "Base", "Correlation", "Exact", "Finds", "Generated", "Labels", "Measurement", "Pairs",
    "Sampled", "Timings", "Totals",
]  # fmt: skip
