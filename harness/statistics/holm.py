"""Several claims at once: the confidence at which each must be refuted so that hardly ever a true one is.

Holm (1979), A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 65-70.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.statistics.interval import require_confidence


def holm_confidence(refuted: Sequence[Callable[[float], bool]], confidence: float = 0.95) -> float:
    """The one confidence that Holm's procedure comes to: it rejects just the claims that are refuted at it.

    Holm holds the smallest of m p-values against alpha / m, the next against alpha / (m - 1), and so on. The level only
    rises, so what was rejected once stays rejected at the level of the last step: no p-value is needed, only whether a
    bound at some confidence excludes the claim.

    Args:
        refuted: for each claim, whether its bound at a one-sided confidence excludes it; what is refuted at one
            confidence is at every lower one.
        confidence: that no true claim at all is rejected.

    Returns:
        A confidence from `confidence` to 1 - (1 - `confidence`) / m.

    Raises:
        ValueError: for an impossible confidence.
    """
    require_confidence(confidence)
    left = len(refuted)
    while left > 1:
        level = 1 - (1 - confidence) / left
        remaining = len(refuted) - sum(claim(level) for claim in refuted)
        if remaining >= left:
            return level
        left = remaining
    return confidence
