"""How often the accuracy verdicts are wrong, and how often they are of use.

    python benchmarks/accuracy_gate.py [--quick] [--json FILE] [--sets N] [--kinds proportion ratio mean set]

A verdict passes when the upper bound of the drop is below the limit. Each cell puts the true drop at the limit and
gives the share of samples that pass all the same (`false`), then puts it at zero and gives the share that pass
(`power`). Proportions and ratios are summed over the trinomial sample space: no simulation, no simulation error. Means
and F1 are simulated. Beside them stands what most gates do: the paired percentile bootstrap (`peer`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import binom

from harness.statistics import (
    macro_swing,
    mean_difference,
    proportion_difference,
    proportion_ratio,
    smallest_limit,
    statistic_difference,
)
from harness.statistics.contrast import Drop, score_upper

SIZES = (20, 100, 400, 5000)
DISCORDANCES = (0.0, 0.01, 0.1)
LIMITS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
ALPHA = 0.05
KINDS = ("proportion", "ratio", "mean", "set")
BELOW_MASS = 1e-12  # cells of the sample space that hold less are left out


@dataclass(frozen=True)
class Cell:
    """One row: what was assumed and how often the verdict was wrong or right.

    `worst` is the false-pass rate at the worst discordance from the limit up; `false_fail_rate` the share of samples
    that are failed while the true drop is at the limit. None: does not apply (a discordance cannot reach a limit).
    `peer` is the percentile bootstrap's false-pass rate, `score` that of Tango's score bound.
    """

    kind: str
    n: int
    discordance: float
    limit: float
    refused: bool
    exact: bool
    sets: int | None
    false_pass_rate: float | None
    worst: float | None
    false_fail_rate: float | None
    power: float | None
    best_power: float | None
    score: float | None
    score_power: float | None
    peer: float | None
    peer_power: float | None


# --- proportions, by enumeration ---------------------------------------------------------------------------------


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


def proportions(sizes: tuple[int, ...]) -> Iterator[Cell]:
    """Cells for the drop of a proportion."""
    for n in sizes:
        for limit in LIMITS:
            refused = limit < smallest_limit(n)
            if refused:
                for discordance in DISCORDANCES:
                    yield refusal("proportion", n, discordance, limit)
                continue
            passing, not_failing, by_score, by_percentile = (
                frontier(partial(rule, n, limit), n)
                for rule in (gate_passes, gate_does_not_fail, score_passes, percentile_passes)
            )
            reach = np.unique(np.concatenate([np.geomspace(limit, max(0.12, 2 * limit), 25), [limit]]))
            worst = max(share_passing(passing, n, *at_limit(float(one), limit)) for one in reach)
            for discordance in DISCORDANCES:
                level = (discordance / 2, discordance / 2)
                share = partial(reachable, discordance, limit, n)
                failed = share(not_failing)
                yield Cell(
                    "proportion", n, discordance, limit, refused=False, exact=True, sets=None,
                    false_pass_rate=share(passing), worst=worst if discordance >= limit else None,
                    false_fail_rate=None if failed is None else 1 - failed,
                    power=share_passing(passing, n, *level), best_power=best_power(n, limit, discordance),
                    score=share(by_score), score_power=share_passing(by_score, n, *level),
                    peer=share(by_percentile), peer_power=share_passing(by_percentile, n, *level),
                )  # fmt: skip


def reachable(discordance: float, limit: float, n: int, line: Callable[[int], int]) -> float | None:
    """The share passing with the true drop at the limit; None where the discordance cannot reach it."""
    return share_passing(line, n, *at_limit(discordance, limit)) if discordance >= limit else None


def refusal(kind: str, n: int, discordance: float, limit: float) -> Cell:
    """A cell that the gate refuses before anything is measured."""
    nothing = dict.fromkeys(
        ("sets", "false_pass_rate", "worst", "false_fail_rate", "power", "best_power", "score", "score_power", "peer",
         "peer_power")
    )  # fmt: skip
    return Cell(kind, n, discordance, limit, refused=True, exact=kind != "mean", **nothing)


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


# --- ratios, by enumeration over how many pairs are right at all ---------------------------------------------------


def ratios(sizes: tuple[int, ...], accuracy: float = 0.8) -> Iterator[Cell]:
    """Cells for the ratio of two proportions."""
    for n in sizes:
        for limit in (0.8, 0.9, 0.95):
            for discordance in (0.05, 0.15):
                won_rate, lost_rate = ((discordance + sign * accuracy * (1 - limit)) / 2 for sign in (-1, 1))
                if won_rate < 0:
                    continue
                telling = accuracy + won_rate  # pairs that at least one model has right
                false = power = 0.0
                for m in range(int(binom.ppf(1e-6, n, telling)), n + 1):
                    line = frontier(partial(ratio_passes, limit, m), m)
                    false += binom.pmf(m, n, telling) * share_passing(line, m, won_rate / telling, lost_rate / telling)
                    even = accuracy + discordance / 2
                    half = discordance / 2 / even
                    power += binom.pmf(m, n, even) * share_passing(line, m, half, half)
                yield Cell(
                    "ratio", n, discordance, limit, refused=False, exact=True, sets=None, false_pass_rate=float(false),
                    worst=None, false_fail_rate=None, power=float(power), best_power=None, score=None,
                    score_power=None, peer=None, peer_power=None,
                )  # fmt: skip


def ratio_passes(limit: float, m: int, won: int, lost: int) -> bool:
    """Whether this gate passes the counts of pairs that at least one model has right."""
    return won + lost <= m and proportion_ratio(won, lost, m - won - lost, m).lower > limit


# --- means and F1, by simulation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Scores in [0, 1]; a share of units differ, by up to `size`, and `lost` of those are worse."""

    name: str
    discordance: float
    lost: float
    size: float = 0.5
    noise: float = 0.0
    units: int = 1

    @property
    def drop(self) -> float:
        """True drop of the mean."""
        return self.discordance * (2 * self.lost - 1) * self.size / 2

    def draw(self, n: int, lost: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores of both models and the unit of each."""
        each = n * self.units
        unit = np.repeat(np.arange(n), self.units)
        reference = generator.uniform(0.5, 1.0, each)
        differs = (generator.random(n) < self.discordance)[unit]
        sign = np.where(generator.random(n) < lost, 1, -1)[unit]
        change = differs * sign * generator.uniform(0, self.size, each) + self.noise * generator.standard_normal(each)
        return reference, reference - change, unit


SCORES = (
    Scores("mean, 1 % of units differ", 0.01, 1.0),
    Scores("mean, 10 % of units differ", 0.1, 1.0),
    Scores("mean, 10 % differ both ways", 0.1, 0.75),
    Scores("mean, all units differ", 1.0, 0.75),
    Scores("mean, all differ a little", 1.0, 0.5, size=0.0, noise=0.05),
    Scores("mean, units of 5 samples", 0.1, 0.9, units=5),
)


def means(sizes: tuple[int, ...], sets: int) -> Iterator[Cell]:
    """Cells for the drop of a mean."""
    generator = np.random.default_rng(0)
    for n in sizes:
        for scores in SCORES:
            extra = 0.02 if scores.drop == 0 else 0.0  # a shift that all units share
            limit = scores.drop + extra
            rates = []
            for lost, shift, count in ((scores.lost, extra, sets), (0.5, 0.0, max(200, sets // 5))):
                passed = np.zeros(2)
                resampled = 0
                for index in range(count):
                    reference, value, unit = scores.draw(n, lost, generator)
                    value = value - shift
                    passed[0] += mean_difference(reference, value, unit).upper < limit
                    if index < peer_sets(n, count):
                        drop = np.bincount(unit, reference - value) / scores.units
                        passed[1] += np.quantile(percentile_means(drop, generator), 1 - ALPHA) < limit
                        resampled += 1
                rates.append((passed[0] / count, passed[1] / resampled))
            yield simulated(scores.name, n, scores.discordance, limit, sets, *rates)


def peer_sets(n: int, sets: int) -> int:
    """On how many sets the peer is tried: it is slow."""
    return min(sets, 2000 if n < 1000 else 200)


def percentile_means(drop: np.ndarray, generator: np.random.Generator, resamples: int = 400) -> np.ndarray:
    """Means of resamples drawn with replacement."""
    return drop[generator.integers(0, len(drop), (resamples, len(drop)))].mean(axis=1)


def simulated(
    kind: str, n: int, discordance: float, limit: float, sets: int, at: tuple[float, float], level: tuple[float, float]
) -> Cell:
    """A cell from rates of this gate and of the peer, at the limit and level."""
    return Cell(
        kind, n, discordance, limit, refused=False, exact=False, sets=sets, false_pass_rate=float(at[0]), worst=None,
        false_fail_rate=None, power=float(level[0]), best_power=None, score=None, score_power=None, peer=float(at[1]),
        peer_power=float(level[1]),
    )  # fmt: skip


def macro_f1(targets: np.ndarray, predictions: np.ndarray, classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Macro F1 of the classes present, from weights of shape [resamples, kinds]."""
    true, said = np.eye(classes)[targets], np.eye(classes)[predictions]

    def statistic(weights: np.ndarray) -> np.ndarray:
        present = np.maximum(weights @ true + weights @ said, 1e-300)
        here = (weights @ (true + said)).max(axis=0) > 0
        return (2 * (weights @ (true * said)) / present)[:, here].mean(axis=1)

    return statistic


@dataclass(frozen=True)
class Classes:
    """Predictions over classes of given shares; errors fall evenly on the other classes."""

    name: str
    shares: tuple[float, ...]
    discordance: float
    drop: float
    wrong: float = 0.03

    def f1(self, error: float) -> float:
        """Macro F1 in an endless sample with that error rate in every class."""
        share = np.array(self.shares)
        hit = share * (1 - error)
        said = hit + (error - error * share) / (len(share) - 1)
        return float((2 * hit / (said + share)).mean())

    @property
    def limit(self) -> float:
        """The drop of macro F1 in an endless sample."""
        won, lost = at_limit(self.discordance, self.drop)
        return self.f1(self.wrong + won) - self.f1(self.wrong + lost)

    def draw(self, n: int, drop: float, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Targets and predictions of both models."""
        won, lost = at_limit(self.discordance, drop)
        count = len(self.shares)
        target = generator.choice(count, n, p=self.shares)
        other = (target + generator.integers(1, count, n)) % count
        fate = generator.random(n)
        reference = np.where((fate >= lost) & (fate < lost + won + self.wrong), other, target)
        value = np.where((fate < lost) | ((fate >= lost + won) & (fate < lost + won + self.wrong)), other, target)
        return target, reference, value


TEN = (0.1,) * 10
CLASSES = (
    Classes("macro F1, 10 classes", TEN, 0.01, 0.01),
    Classes("macro F1, 10 classes", TEN, 0.1, 0.1),
    Classes("macro F1, 10 classes", TEN, 0.1, 0.05),
    Classes("macro F1, 3 uneven classes", (0.7, 0.2, 0.1), 0.01, 0.01),
    Classes("macro F1, 3 uneven classes", (0.7, 0.2, 0.1), 0.1, 0.1),
)


def sets_statistics(sizes: tuple[int, ...], sets: int) -> Iterator[Cell]:
    """Cells for the drop of macro F1."""
    generator = np.random.default_rng(0)
    for n in sizes:
        for classes in CLASSES:
            rates = []
            for drop, count in ((classes.drop, sets), (0.0, max(200, sets // 5))):
                passed = np.zeros(2)
                for index in range(count):
                    passed += f1_passes(classes, n, drop, index, generator)
                rates.append((passed[0] / count, passed[1] / count))
            yield simulated(classes.name, n, classes.discordance, classes.limit, sets, *rates)


def f1_passes(classes: Classes, n: int, drop: float, seed: int, generator: np.random.Generator) -> np.ndarray:
    """Whether this gate and the peer pass one drawn set."""
    target, reference, value = classes.draw(n, drop, generator)
    count = len(classes.shares)
    _, first, kinds = np.unique((target * count + reference) * count + value, return_index=True, return_counts=True)
    before, after = (macro_f1(target[first], side[first], count) for side in (reference, value))

    def statistic(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return before(weights), after(weights)

    swing = macro_swing(np.bincount(target))
    gate = statistic_difference(statistic, kinds, seed=seed, swing=swing, resamples=1000).upper
    resampled = np.subtract(*statistic(generator.multinomial(n, kinds / n, 400).astype(float)))
    return np.array([gate < classes.limit, np.quantile(resampled, 1 - ALPHA) < classes.limit])


# --- the table -----------------------------------------------------------------------------------------------------


def line(cell: Cell) -> str:
    """A cell as the table's row."""

    def text(value: float | None) -> str:
        return "      -" if value is None else f"{value:7.4f}"

    head = f"{cell.kind:28s} {cell.n:5d} {cell.discordance:6.2f} {cell.limit:7.4f}"
    if cell.refused:
        return f"{head}   refused: {cell.n} samples cannot prove it"
    figures = (
        cell.false_pass_rate, cell.worst, cell.false_fail_rate, cell.power, cell.best_power, cell.score,
        cell.score_power, cell.peer, cell.peer_power,
    )  # fmt: skip
    return head + " " + " ".join(text(one) for one in figures)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a reduced grid, about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the cells as a list of objects")
    parser.add_argument("--sets", type=int, help="simulated sets a cell (default 10000; quick: 300)")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    asked = parser.parse_args()
    sets = asked.sets or (300 if asked.quick else 10_000)
    sizes = SIZES[:3] if asked.quick else SIZES
    sources = {
        "proportion": lambda: proportions(sizes),
        "ratio": lambda: ratios((20,) if asked.quick else (20, 100)),
        "mean": lambda: means(sizes, sets),
        "set": lambda: sets_statistics(sizes, sets),
    }
    print(
        f"{'kind':28s} {'n':>5s} {'discor':>6s} {'limit':>7s}   false   worst falfail   power    best   score sc.powr"
        "    peer pe.powr"
    )
    start, cells = time.perf_counter(), []
    for kind in asked.kinds:
        for cell in sources[kind]():
            cells.append(cell)
            print(line(cell), flush=True)
    measured = [cell for cell in cells if cell.false_pass_rate is not None]
    for name, chosen in (("exact", True), ("simulated", False)):
        rates = [cell.false_pass_rate for cell in measured if cell.exact is chosen]
        peers = [cell.peer for cell in measured if cell.exact is chosen and cell.peer is not None]
        if rates:
            beside = f"; percentile bootstrap: {max(peers):.4f}" if peers else ""
            print(f"largest false-pass rate, {name}: {max(rates):.4f}{beside}")
    gaps = [cell.best_power - cell.power for cell in cells if cell.best_power is not None and cell.power is not None]
    if gaps:
        print(f"largest gap to the best exact test's power: {100 * max(gaps):.1f} points")
    print(f"{len(cells)} cells in {time.perf_counter() - start:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")


if __name__ == "__main__":
    main()
