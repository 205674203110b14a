"""Ratios of proportions, summed over how many pairs are right at all."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from scipy.stats import binom

from accuracy.cell import QUICK, Cell, Plan, Plans
from accuracy.proportions import frontier, share_passing
from harness.statistics import proportion_ratio, smallest_limit

ACCURACY = 0.8
LIMITS = (0.8, 0.9, 0.95)
DISCORDANCES = (0.05, 0.15)
MOST, QUICK_MOST = 100, 20  # samples; of all sets, and where few are asked for


def ratios(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the ratio of two proportions, of which the float model's is 0.8."""
    for n in sizes:
        for limit in LIMITS:
            for discordance in DISCORDANCES:
                if discordance >= ACCURACY * (1 - limit):
                    refused = 1 - limit < smallest_limit(n)
                    left_out = None if refused else not_run(n, sets)
                    blank = Cell(
                        "ratio", "recovery", n, discordance, limit, refused=refused, not_run=left_out, exact=True
                    )
                    yield Plan(blank, partial(ratio, blank))


def not_run(n: int, sets: int) -> str | None:
    """Why ratios of so many samples are not worked out; None where they are."""
    if n > MOST:
        return f"n up to {MOST} alone, as every number of pairs that are right at all has outcomes of its own to decide"
    return f"n up to {QUICK_MOST} alone in a quick run" if n > QUICK_MOST and sets <= QUICK else None


def ratio(blank: Cell) -> Cell:
    """One cell."""
    n, limit, discordance = blank.n, blank.limit, blank.discordance
    won_rate, lost_rate = ((discordance + sign * ACCURACY * (1 - limit)) / 2 for sign in (-1, 1))
    telling = ACCURACY + won_rate  # pairs that at least one model has right
    even, half = ACCURACY + discordance / 2, discordance / 2
    false = power = 0.0
    for m in range(int(binom.ppf(1e-6, n, telling)), n + 1):
        line = frontier(partial(ratio_passes, limit, m), m)
        false += binom.pmf(m, n, telling) * share_passing(line, m, won_rate / telling, lost_rate / telling)
        power += binom.pmf(m, n, even) * share_passing(line, m, half / even, half / even)
    return replace(blank, false_pass_rate=float(false), power=float(power))


def ratio_passes(limit: float, m: int, won: int, lost: int) -> bool:
    """Whether this gate passes the counts of pairs that at least one model has right."""
    return won + lost <= m and proportion_ratio(won, lost, m - won - lost, m).lower > limit
