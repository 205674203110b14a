"""When a latency ratio that is being sampled is looked at, and how sure each look has to be."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import ndtr

from harness.statistics.interval import require_confidence
from harness.statistics.spending import critical_values


@dataclass(frozen=True)
class Looks:
    """Looks at the blocks so far, each of which may end the sampling.

    Whoever stops at the first look whose own interval excludes every limit puts a true ratio that is at a limit on a
    given side of it with at most the chance 1 - confidence, however many looks it takes: each look's interval is
    widened by Pocock-type alpha spending (Lan and DeMets 1983), chosen over O'Brien and Fleming's because most ratios
    lie far from their limits and are to be decided at the first look.

    Attributes:
        confidence: of each bound over all looks together.
        most: how many there may be.
        first_blocks: block pairs in at the first look; every further look adds as many.
    """

    confidence: float = 0.95
    most: int = 6
    first_blocks: int = 10

    def __post_init__(self) -> None:
        require_confidence(self.confidence)
        if self.most < 1:
            raise ValueError(f"most must be at least 1, not {self.most}")
        if self.first_blocks < 2:
            raise ValueError(f"first_blocks must be at least 2, not {self.first_blocks}")

    @property
    def schedule(self) -> tuple[int, ...]:
        """Block pairs in at each look, the cap last."""
        return tuple(self.first_blocks * look for look in range(1, self.most + 1))

    @property
    def confidences(self) -> tuple[float, ...]:
        """The confidence of each look's own interval."""
        shares = tuple(blocks / self.schedule[-1] for blocks in self.schedule)
        return tuple(float(ndtr(value)) for value in critical_values(shares, 1 - self.confidence))
