"""One bound of one budget as it is decided: what it is held to, by which interval, and what keeps its verdict back."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge.figures import number, percent, ratio_text
from harness.judge.settling import settling
from harness.judge.verdict import Place, State
from harness.measurement import Measurement
from harness.measurement.doubts import Doubt
from harness.metrics.base import Metric
from harness.statistics import Interval


def claims(metric: Metric) -> tuple[str, ...]:
    """The bounds of a budget that claim something of samples which were not seen."""
    own = ("min", "max") if metric.relative else ()
    sampled = ("min_ratio", "max_ratio", "max_drop", "max_rise", *own) if metric.needs_data else ()
    return tuple(name for name in metric.bounds() if name in sampled)


@dataclass(frozen=True)
class Claim:
    """One bound of one budget, and all that is known to decide it."""

    metric: Metric
    name: str
    limit: float
    measured: Measurement
    confidence: float
    place: Place
    proof: float

    @property
    def floor(self) -> bool:
        """Whether the limit is a least value, and not a greatest."""
        return self.name.startswith(("min", "reference_min"))

    def decide(self, lower: float, upper: float) -> State:
        """PASS where the whole interval keeps the limit, FAIL where the whole of it breaks it."""
        if self.floor:
            kept, broken = lower >= self.limit, upper < self.limit
        else:
            kept, broken = upper <= self.limit, lower > self.limit
        return State.PASS if kept else State.FAIL if broken else State.INCONCLUSIVE

    def contrast(self, confidence: float) -> Interval:
        """The interval of what the limit bounds: a drop, a rise, a ratio, or the value of a metric that is relative."""
        if self.name.endswith("_ratio"):
            return self.measured.ratio(confidence)
        drop = self.measured.drop(confidence)
        if self.name == "max_drop":
            return drop
        if self.name == "max_rise":
            return -drop
        at = self.measured.reference or 0.0
        return Interval(at - drop.estimate, at - drop.upper, at - drop.lower, confidence, drop.method)

    def doubt(self, *, drop: bool = False) -> str:
        """Why a breach is not proven, though the bound at the usual confidence says so; empty where it is."""
        if self.proof <= self.confidence or self.name not in claims(self.metric):
            return ""
        held = self.contrast(self.proof)
        if self.decide(held.lower, held.upper) is State.FAIL:
            return ""
        together = round((1 - self.confidence) / (1 - self.proof))
        text = ratio_text if self.name.endswith("_ratio") else number
        return (
            f"; no proof once corrected for {together} claims: at {percent(self.proof)} that bound is "
            f"{text(held.upper if self.floor else held.lower)}{settling(self.measured, held, self.limit, drop=drop)}"
        )

    def withheld(self, lower: float, estimate: float, upper: float, limit: float, state: State) -> list[Doubt]:
        """All that keeps back a verdict on a ratio of times, what came from outside first."""
        return [
            doubt
            for doubt in self.measured.doubts(self.confidence, self.place.slower)
            # A doubt about the estimate alone adds nothing where the interval has decided nothing, or is not asked.
            if (doubt.whole or (lower < upper and state is not State.INCONCLUSIVE))
            and doubt.covers(lower, estimate, upper, limit)
        ]
