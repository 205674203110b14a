"""How far off a ratio of times may be, beyond what its own interval says, and why.

An interval from one run knows of the noise between its blocks. It does not know whether two equal models come out equal
in this run, whether the machine changed meanwhile, or what others took from it. Each of these is a doubt with a reach;
a limit within reach of the ratio is not decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from harness.measurement.timings import Timings

# Past this share a figure was taken beside other work, and is no yardstick for later runs.
LOAD_NOTICED = 0.05
# What contention for caches and memory does to a ratio of undisturbed readings: "load from outside" in error-rates.md.
BIAS_A_LOAD = 0.35
# What a machine that runs float slower than it did does to a ratio: it slows both models, and not quite alike.
BIAS_A_SLOWNESS = 0.35
# Sums in another order differ by less.
NEGLIGIBLE = 1e-9
# Readings below this share of all are those that were least in contention.
QUICK = 0.10
# Past this share of readings that lost their processor, a median is one of disturbed readings.
DISTURBED = 0.10
AGAIN = "which could turn this verdict: measure again on a quieter machine"


@dataclass(frozen=True)
class Doubt:
    """One reason why a ratio may be off.

    Attributes:
        below, above: by up to which share it may be lower, or higher, than it reads.
        because: a clause for the sentence of a verdict that it keeps back.
        whole: it moves the whole interval, and not the estimate alone.
        outside: others brought it about, and another run may be free of it.
    """

    below: float
    above: float
    because: str
    whole: bool
    outside: bool = False

    @property
    def reach(self) -> float:
        """The farther of both ways."""
        return max(self.below, self.above)

    def covers(self, lower: float, estimate: float, upper: float, limit: float) -> bool:
        """Whether the ratio could be on either side of a limit."""
        low, high = (lower, upper) if self.whole else (estimate, estimate)
        return low / (1 + self.below) <= limit <= high * (1 + self.above)


def _either_way(reach: float, because: str, *, whole: bool, outside: bool = False) -> Doubt:
    return Doubt(reach, reach, because, whole, outside)


def by_others(doubts: Sequence[Doubt]) -> bool:
    """Whether what others did reaches furthest: their load widens a run's own noise too, and another take may be free.

    Where its own noise reaches as far, another take would be one more draw from the same noise.
    """
    others, own = (max((one.reach for one in doubts if one.outside is side), default=0.0) for side in (True, False))
    return others > own


def because(doubts: Sequence[Doubt]) -> str:
    """Why a verdict is kept back, as a clause: what this run's own noise leaves open, and then what others did."""
    own, outside = ([doubt.because for doubt in doubts if doubt.outside is one] for one in (False, True))
    return "; ".join(own[:1] + outside[:1])


def found(timings: Timings, confidence: float, slower: float = 0.0) -> list[Doubt]:
    """Every doubt about the ratio of these times, what came from outside first.

    Args:
        timings: what was timed.
        confidence: of each bound.
        slower: by which share the float model is slower than where its baseline was accepted; not above zero where it
            is not, or where that is unknown.
    """
    return [doubt for doubt in (_slower(slower), *_all(timings, confidence)) if doubt.reach > NEGLIGIBLE]


def _all(timings: Timings, confidence: float) -> Iterable[Doubt]:
    waits = 1 / max(1e-3, 1 - timings.waited) - 1
    yield _either_way(
        waits if timings.disturbed > DISTURBED else 0.0,
        f"in {timings.disturbed:.0%} of the readings others took the processor in between, {AGAIN}",
        whole=True, outside=True,
    )  # fmt: skip
    others, told = load_bias(timings.load), disagreement(timings)
    # What contention did to the medians is undone on the side where the quickest readings are, and on no other.
    apart = math.expm1(abs(told))
    yield Doubt(
        others + (apart if told < 0 else 0.0),
        others + (apart if told > 0 else 0.0),
        f"others took {timings.load:.0%} of the processor while measuring, {AGAIN}"
        if others >= apart else f"the quickest readings tell a ratio that is {apart:.1%} off, {AGAIN}",
        whole=True, outside=True,
    )  # fmt: skip
    drift = timings.drift
    yield _either_way(
        math.expm1(abs(math.log1p(drift))),
        f"the float model became {abs(drift):.1%} {'slower' if drift > 0 else 'faster'} while it was timed, {AGAIN}",
        whole=False, outside=True,
    )  # fmt: skip
    noise = noise_floor(timings, confidence)
    yield _either_way(
        noise, f"float against float is known to {noise:.1%} in this run, and the limit is no farther off", whole=False
    )
    yield _either_way(
        timings.overhead / float(np.median(timings.blocks)),
        f"the limit is nearer than the {timings.overhead:.0f} ns of an empty call: time a larger batch", whole=False,
    )  # fmt: skip


def _slower(share: float) -> Doubt:
    because = f"the float model runs {share:.0%} slower than where its baseline was accepted, {AGAIN}"
    return _either_way(BIAS_A_SLOWNESS * share, because, whole=True, outside=True)


def load_bias(load: float) -> float:
    """How far off a ratio may be, as a share of itself, when others took this share of the processor."""
    return BIAS_A_LOAD * load


def disagreement(timings: Timings) -> float:
    """Logarithm of the ratio of the quick readings ÷ the ratio of medians: above zero where the quick ones' is higher.

    Contention slows some readings more than others. Where it moved the ratio of medians, the readings that had least
    of it tell another one.
    """
    below, above = (timings.blocks, timings.floats) if timings.rate else (timings.floats, timings.blocks)
    quick, middle = (float(np.quantile(above, share) / np.quantile(below, share)) for share in (QUICK, 0.5))
    return math.log(quick / middle)


def noise_floor(timings: Timings, confidence: float) -> float:
    """How far from 1 the float model may be from itself in this run, as a share; 0 without a control."""
    control = timings.control(confidence)
    if control is None:
        return 0.0
    return max(control.upper, 1 / control.lower if control.lower > 0 else math.inf) - 1


def undecided(timings: Timings, limits: Iterable[float], confidence: float) -> Literal["", "noise", "outside"]:
    """What keeps a limit on the ratio of times from being decided; empty where all of them are.

    Args:
        timings: what was timed so far.
        limits: on compressed ÷ float of the figure, a time or a rate.
        confidence: of each bound.

    Returns:
        ``noise`` where a limit lies within the interval or the reach of this run's own noise, which more blocks may
        settle; ``outside`` where only what others did stands between.
    """
    sought = list(limits)
    if not sought:
        return ""
    ratio, doubts = timings.ratio(confidence), found(timings, confidence)

    def reached(limit: float, *, whole: bool) -> bool:
        return any(
            doubt.covers(ratio.lower, ratio.estimate, ratio.upper, limit) for doubt in doubts if doubt.whole is whole
        )

    if any(ratio.lower <= limit <= ratio.upper or reached(limit, whole=False) for limit in sought):
        return "noise"
    return "outside" if any(reached(limit, whole=True) for limit in sought) else ""
