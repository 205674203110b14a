"""When to stop sampling a latency ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from harness.statistics.interval import Interval, require_confidence
from harness.statistics.latency import median_ratio
from harness.statistics.spending import critical_values


@dataclass(frozen=True)
class Look:
    """What a look at the blocks so far came to.

    Attributes:
        state: ``decided`` when the interval excludes every limit, ``cap`` at the last look when it does not,
            otherwise ``continue``.
        blocks: blocks seen.
        interval: of the ratio, at the confidence that this look is due.
    """

    state: Literal["decided", "continue", "cap"]
    blocks: int
    interval: Interval


@dataclass(frozen=True)
class SequentialRatio:
    """Sampling that stops as soon as the ratio of medians is on a known side of every limit.

    However many looks it takes, a true ratio at a limit is put on a given side of it with at most the chance
    1 - confidence: each look's interval is widened by Pocock-type alpha spending (Lan and DeMets 1983), chosen over
    O'Brien and Fleming's because most ratios lie far from their limits and are to be decided at the first look.

    Attributes:
        limits: ratios to decide about; with none, the first look decides.
        confidence: of each bound over all looks together.
        looks: how many there may be.
        first_blocks: block pairs in at the first look; every further look adds as many.
    """

    limits: Sequence[float]
    confidence: float = 0.95
    looks: int = 6
    first_blocks: int = 10

    def __post_init__(self) -> None:
        require_confidence(self.confidence)
        if self.looks < 1:
            raise ValueError(f"looks must be at least 1, not {self.looks}")
        if self.first_blocks < 2:
            raise ValueError(f"first_blocks must be at least 2, not {self.first_blocks}")
        if not all(np.isfinite(limit) and limit > 0 for limit in self.limits):
            raise ValueError(f"limits must be positive and finite, not {list(self.limits)}")

    @property
    def schedule(self) -> tuple[int, ...]:
        """Block pairs in at each look, the cap last."""
        return tuple(self.first_blocks * look for look in range(1, self.looks + 1))

    @property
    def confidences(self) -> tuple[float, ...]:
        """The confidence of each look's own interval."""
        shares = tuple(blocks / self.schedule[-1] for blocks in self.schedule)
        return tuple(float(ndtr(value)) for value in critical_values(shares, 1 - self.confidence))

    def look(self, reference_blocks: npt.ArrayLike, value_blocks: npt.ArrayLike, seed: int = 0) -> Look:
        """Judge the blocks so far.

        Args:
            reference_blocks: durations of the float model in nanoseconds, shape [blocks, calls].
            value_blocks: durations of the compressed model, shape [blocks, calls of its own].
            seed: of the bootstrap.

        Raises:
            ValueError: when the number of blocks is not one of the schedule, or as `median_ratio`.
        """
        blocks = len(np.asarray(reference_blocks))
        if blocks not in self.schedule:
            raise ValueError(f"a look at {blocks} blocks was not planned; the looks are at {self.schedule}")
        number = self.schedule.index(blocks)
        interval = median_ratio(reference_blocks, value_blocks, self.confidences[number], seed)
        if all(limit < interval.lower or interval.upper < limit for limit in self.limits):
            return Look("decided", blocks, interval)
        return Look("cap" if number == self.looks - 1 else "continue", blocks, interval)
