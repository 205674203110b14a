"""Drops of proportions, summed over the trinomial sample space: no simulation, no simulation error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import binom

from accuracy.cell import ALPHA, Cell, Plan, Plans
from accuracy.melding import melded_chance
from harness.statistics import proportion_difference, smallest_limit
from harness.statistics.contrast import Drop, score_upper

DISCORDANCES = (0.0, 0.01, 0.1)
LIMITS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
BELOW_MASS = 1e-12  # cells of the sample space that hold less are left out


def trinomial(n: int, won_rate: float, lost_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Won counts that hold mass, and their probabilities."""
    wins = np.arange(int(binom.ppf(BELOW_MASS, n, won_rate)), int(binom.ppf(1 - BELOW_MASS, n, won_rate)) + 1)
    return np.maximum(wins, 0), binom.pmf(np.maximum(wins, 0), n, won_rate)


def share_passing(line: Callable[[int], int], n: int, won_rate: float, lost_rate: float) -> float:
    """Chance of a sample whose lost count is at most `line(won)`."""
    wins, chance = trinomial(n, won_rate, lost_rate)
    most = np.array([line(int(one)) for one in wins])
    return float(chance @ np.where(most >= 0, binom.cdf(most, n - wins, lost_rate / (1 - won_rate)), 0.0))


def frontier(passes: Callable[[int, int], bool], n: int) -> Callable[[int], int]:
    """The largest lost count that passes, by won count; each search starts at its neighbour's answer."""
    known: dict[int, int] = {}

    def line(won: int) -> int:
        if won not in known:
            lost = known.get(won - 1, known.get(won + 1, -1))
            if lost < 0:
                low, high = -1, n - won
                while low < high:
                    middle = (low + high + 1) // 2
                    low, high = (middle, high) if passes(won, middle) else (low, middle - 1)
                lost = low
            while lost < n - won and passes(won, lost + 1):
                lost += 1
            while lost >= 0 and not passes(won, lost):
                lost -= 1
            known[won] = lost
        return known[won]

    return line


def gate_passes(n: int, limit: float, won: int, lost: int) -> bool:
    """Whether this gate passes the counts."""
    return won + lost <= n and proportion_difference(won, lost, n).upper < limit


def gate_does_not_fail(n: int, limit: float, won: int, lost: int) -> bool:
    """Whether this gate withholds a FAIL: no breach of the limit is proven."""
    return won + lost <= n and proportion_difference(won, lost, n).lower <= limit


def score_passes(n: int, limit: float, won: int, lost: int) -> bool:
    """Whether a gate on Tango's score bound alone passes the counts."""
    return won + lost <= n and score_upper(Drop(), won, lost, n, 1 - ALPHA) < limit


def melded_passes(n: int, limit: float, won: int, lost: int) -> bool:
    """Whether a gate on Fay and Lumbard's bound passes the counts."""
    return won + lost <= n and melded_chance(won, lost, n, limit) >= 1 - ALPHA


def percentile_passes(n: int, limit: float, won: int, lost: int) -> bool:
    """The percentile bootstrap with endless resamples: its distribution is a trinomial too."""
    if won + lost > n:
        return False
    wins, chance = trinomial(n, won / n, lost / n)
    most = np.ceil(limit * n - 1e-9) - 1 + wins
    share = lost / (n - won) if won < n else 0.0
    return float(chance @ np.where(most >= 0, binom.cdf(np.minimum(most, n - wins), n - wins, share), 0.0)) >= 1 - ALPHA


def at_limit(discordance: float, limit: float) -> tuple[float, float]:
    """Rates of won and lost pairs with the true drop at the limit."""
    return (discordance - limit) / 2, (discordance + limit) / 2


def proportions(
    sizes: tuple[int, ...], limits: tuple[float, ...] = LIMITS, discordances: tuple[float, ...] = DISCORDANCES
) -> Plans:
    """Cells for the drop of a proportion."""
    for n in sizes:
        for limit in limits:
            for discordance in discordances:
                blank = Cell(
                    "proportion", "share", n, discordance, limit, refused=limit < smallest_limit(n), exact=True
                )
                yield Plan(blank, partial(proportion, blank))


OTHERS = {"Tango's score": score_passes, "Fay and Lumbard": melded_passes}


@cache
def frontiers(n: int, limit: float) -> tuple[Callable[[int], int], ...]:
    """Where this gate passes and fails, and where the percentile bootstrap and the `OTHERS` pass."""
    rules = (gate_passes, gate_does_not_fail, percentile_passes, *OTHERS.values())
    return tuple(frontier(partial(rule, n, limit), n) for rule in rules)


def proportion(blank: Cell) -> Cell:
    """One cell."""
    n, limit, discordance = blank.n, blank.limit, blank.discordance
    passing, not_failing, by_percentile, *by_others = frontiers(n, limit)
    level = (discordance / 2, discordance / 2)
    share = partial(reachable, discordance, limit, n)
    failed = share(not_failing)
    return replace(
        blank,
        false_pass_rate=share(passing),
        worst=worst(n, limit) if discordance >= limit else None,
        false_fail_rate=None if failed is None else 1 - failed,
        power=share_passing(passing, n, *level),
        best_power=best_power(n, limit, discordance),
        peer=share(by_percentile),
        peer_power=share_passing(by_percentile, n, *level),
        others={name: rate for name, line in zip(OTHERS, by_others, strict=True) if (rate := share(line)) is not None},
        others_power={name: share_passing(line, n, *level) for name, line in zip(OTHERS, by_others, strict=True)},
    )


@cache
def worst(n: int, limit: float) -> float:
    """The false-pass rate at the worst of 25 discordances from the limit up."""
    reach = np.unique(np.concatenate([np.geomspace(limit, max(0.12, 2 * limit), 25), [limit]]))
    return max(share_passing(frontiers(n, limit)[0], n, *at_limit(float(one), limit)) for one in reach)


def reachable(discordance: float, limit: float, n: int, line: Callable[[int], int]) -> float | None:
    """The share passing with the true drop at the limit; None where the discordance cannot reach it."""
    return share_passing(line, n, *at_limit(discordance, limit)) if discordance >= limit else None


@cache
def best_region(n: int, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Rejection region of the most powerful exact test known: E then M (Lloyd and Moldovan 2008); small n only.

    Points are ordered by Tango's p-value at its own estimate of the nuisance parameter, and as many are taken as keep
    the size at its worst nuisance parameter within the error rate.
    """
    if n > 400:
        return None
    edge = n if n <= 100 else 110
    won, lost = np.meshgrid(np.arange(edge + 1), np.arange(edge + 1), indexing="ij")
    inside = won + lost <= n
    won, lost = won[inside], lost[inside]
    ways = gammaln(n + 1) - gammaln(won + 1) - gammaln(lost + 1) - gammaln(n - won - lost + 1)

    def chances(rate: float) -> np.ndarray:
        alike = max(1 - 2 * rate - limit, 0.0)
        return np.exp(ways + xlogy(won, rate) + xlogy(lost, rate + limit) + xlogy(n - won - lost, alike))

    widest = (1 - limit) / 2 if n <= 100 else 0.12
    rates = np.unique(np.concatenate([[0.0], np.geomspace(0.01 / n, widest, 60), np.linspace(0, widest, 40)]))
    space = np.array([chances(float(rate)) for rate in rates])
    statistic = Drop().score(won, lost, n, limit)
    order = np.argsort(statistic, kind="stable")
    place = np.searchsorted(statistic[order], statistic + 1e-9, side="right") - 1
    tails = np.cumsum(space[:, order], axis=1)[:, place]
    own = np.clip(Drop().won_rate(won, lost, n, limit), 0, widest)
    left = np.clip(np.searchsorted(rates, own, side="right") - 1, 0, len(rates) - 2)
    part = (own - rates[left]) / (rates[left + 1] - rates[left])
    point = np.arange(len(own))
    estimated = tails[left, point] * (1 - part) + tails[left + 1, point] * part
    ranked = np.argsort(estimated, kind="stable")
    size = np.cumsum(space[:, ranked], axis=1).max(axis=0)
    taken = ranked[: int(np.searchsorted(size, ALPHA, side="right"))]
    return won[taken], lost[taken], ways[taken]


def best_power(n: int, limit: float, discordance: float) -> float | None:
    """The best exact test's power; None where it is not worked out."""
    region = best_region(n, limit)
    if region is None:
        return None
    won, lost, ways = region
    half = discordance / 2
    return float(np.exp(ways + xlogy(won + lost, half) + xlog1py(n - won - lost, -discordance)).sum())
