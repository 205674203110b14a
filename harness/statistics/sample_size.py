"""What a sample can prove: the smallest limit for a sample, and the sample for a limit."""

from __future__ import annotations

import math

from scipy.special import ndtri

from harness.statistics.contrast import Drop
from harness.statistics.exact import log_error
from harness.statistics.interval import require_confidence, require_counts
from harness.statistics.proportion import concordant_upper

POWER = 0.8


def smallest_limit(n: int, confidence: float = 0.95) -> float:
    """The smallest `max_drop` that `n` pairs can prove, reached when none of them is discordant.

    It solves (1 - limit)^n = 1 - confidence, less the share of the error rate that the exact bound spends on
    its nuisance parameter: about 3 / n at a confidence of 0.95.

    Raises:
        ValueError: for an empty sample or an impossible confidence.
    """
    require_confidence(confidence)
    require_counts(n)
    return concordant_upper(n, confidence)


def needed_n(limit: float, confidence: float = 0.95, discordance: float = 0.0, drop: float = 0.0) -> int:
    """The sample at which a drop below `limit` is proven.

    With no discordance it is certain at that size. Otherwise about 80 % of samples prove it, by the normal
    approximation to Tango's score.

    Args:
        limit: the `max_drop` to prove, in (0, 1).
        confidence: of the bound.
        discordance: true share of pairs on which the two models differ, in [0, 1].
        drop: true drop, below `limit` and no larger than the discordance.

    Raises:
        ValueError: for arguments out of range, or a drop that is not below the limit.
    """
    require_confidence(confidence)
    if not 0 < limit < 1:
        raise ValueError(f"limit must lie between 0 and 1, not {limit!r}")
    if not 0 <= discordance <= 1 or abs(drop) > discordance:
        raise ValueError(f"a drop of {drop!r} is not possible with a discordance of {discordance!r}")
    if drop >= limit:
        raise ValueError(f"no sample proves that a drop of {drop!r} is below {limit!r}")
    least = log_error(confidence) / math.log1p(-limit)
    won, lost = (discordance - drop) / 2, (discordance + drop) / 2
    # With shares for counts (n = 1) the constrained estimate is its large-sample value.
    contrast = Drop()
    under_limit = float(contrast.variance(contrast.won_rate(won, lost, 1, limit), limit))
    under_drop = discordance - drop * drop
    spread = float(ndtri(confidence)) * under_limit**0.5 + float(ndtri(POWER)) * under_drop**0.5
    wanted = (spread / (limit - drop)) ** 2 if discordance else 0.0
    return math.ceil(max(least, wanted) - 1e-9)
