"""What a metric hands to the judge: raw values of both sides, never a rounded number.

Each kind knows the point values, how many sampling units stand behind them, the intervals of the two contrasts that
budgets bound (the *ratio* compressed ÷ float and the *drop* float − compressed), what a baseline keeps of it, and how
a sentence says what it stands on. A kind is one file: it is registered, and nothing else asks
which kinds there are.
"""

from typing import Annotated

from harness.measurement.average_precision import AveragePrecision
from harness.measurement.base import MEASUREMENTS, Array, Base, Sampled
from harness.measurement.blocks import Blocks
from harness.measurement.correlation import Correlation
from harness.measurement.exact import Exact
from harness.measurement.finds import Finds
from harness.measurement.generated import Generated
from harness.measurement.labels import Labels
from harness.measurement.pairs import Pairs
from harness.measurement.readings import Readings
from harness.measurement.timings import Timings
from harness.measurement.totals import Totals
from harness.registry import OneOf

Measurement = Annotated[Base, OneOf(MEASUREMENTS)]

__all__ = [
    "MEASUREMENTS", "Array", "AveragePrecision", "Base", "Blocks", "Correlation", "Exact", "Finds", "Generated",
    "Labels", "Measurement", "Pairs", "Readings", "Sampled", "Timings", "Totals",
]  # fmt: skip
