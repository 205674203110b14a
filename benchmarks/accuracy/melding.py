"""Fay and Lumbard's bound on the drop of a proportion, which agrees with the exact McNemar test; to compare with.

M. P. Fay and K. Lumbard, "Confidence intervals for difference in proportions for matched pairs compatible with exact
McNemar's or sign tests", Statistics in Medicine 40, 2021.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv

POINTS = 400  # of the integral; twice as many move the chance by some 2e-5


def melded_chance(won: int, lost: int, n: int, limit: float) -> float:
    """The confidence with which the drop is bounded by a limit.

    The drop is θ(2β − 1), with θ the share of discordant pairs and β the share of lost ones among them. Each gets the
    upper one of its Clopper-Pearson confidence distributions, Beta(won + lost + 1, n − won − lost) and
    Beta(lost + 1, won), and the drop that of their product. While β is below a half, the drop is negative, and
    whatever θ is it lies below a positive limit.

    Args:
        won: pairs that only the compressed model has right.
        lost: pairs that only the float model has right.
        n: pairs.
        limit: above zero.
    """
    discordant = won + lost
    if won == 0:
        shares = np.ones(1)
        below = 0.0
    else:
        below = float(betainc(lost + 1, won, 0.5))
        middles = (np.arange(POINTS) + 0.5) / POINTS
        shares = betaincinv(lost + 1, won, below + (1 - below) * middles)
    # Just above a half the drop is tiny, and the limit far.
    reach = np.minimum(limit / np.maximum(2 * shares - 1, 1e-12), 1.0)
    inside = reach >= 1 if discordant == n else betainc(discordant + 1, n - discordant, reach)
    return below + (1 - below) * float(inside.mean())
