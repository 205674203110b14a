"""Drops and ratios of means of per-sample scores, by simulation; beside them the bootstraps over units."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import stdtrit

from accuracy.cell import ALPHA, Cell, Plan, Plans, generator
from accuracy.decided import CHECKED, mean_below, mean_ratio_above, require_same
from accuracy.resampling import NAMES, upper_bounds
from harness.statistics import mean_difference, mean_ratio

BATCH = 2_000_000  # scores at a time
NO_DROP = 0.05  # the limit where the models do not differ
MEAN = 0.75  # of the float model's scores


@dataclass(frozen=True)
class Scores:
    """Scores; a share of units differ, by up to `size`, and `lost` of those are worse.

    Attributes:
        figure: what the table calls it.
        discordance, lost, size: as above.
        noise: standard deviation of a difference that every unit has.
        skew: mean of a loss that every unit has, exponentially distributed.
        samples: of each unit.
    """

    figure: str
    discordance: float
    lost: float
    size: float = 0.5
    noise: float = 0.0
    skew: float = 0.0
    samples: int = 1

    @property
    def shift(self) -> float:
        """What all units share where the rest of the drop is zero."""
        return 0.02 if self.noise else 0.0

    @property
    def drop(self) -> float:
        """True drop of the mean."""
        return self.discordance * (2 * self.lost - 1) * self.size / 2 + self.shift + self.skew

    def draw(self, sets: int, n: int, *, level: bool, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scores of both models, shape [sets, n, samples of a unit]; `level` for no true drop."""
        shape = (sets, n, self.samples)
        reference = random.uniform(0.5, 1.0, shape)
        value = reference.copy()
        if self.size and self.discordance:
            differs = random.random(shape[:2]) < self.discordance
            sign = np.where(random.random(shape[:2]) < (0.5 if level else self.lost), 1.0, -1.0)
            value -= (differs * sign)[:, :, None] * random.uniform(0, self.size, shape)
        if self.skew:
            value -= self.skew * (random.standard_exponential(shape) - level)
        if self.noise:
            value -= self.noise * random.standard_normal(shape) + (0.0 if level else self.shift)
        return reference, value


SCORES = (
    Scores("no unit differs", 0.0, 0.5),
    Scores("1 % of units differ", 0.01, 1.0),
    Scores("10 % of units differ", 0.1, 1.0),
    Scores("10 % differ both ways", 0.1, 0.75),
    Scores("all units differ", 1.0, 0.75),
    Scores("all differ a little", 1.0, 0.5, size=0.0, noise=0.05),
    Scores("all lose, few much", 1.0, 0.5, size=0.0, skew=0.02),
    Scores("units of 5 samples", 0.1, 0.9, samples=5),
)


@dataclass(frozen=True)
class Statistic:
    """What is held to a limit.

    Attributes:
        kind, figure: what rows of it are called.
        limit: at which a true drop of the mean lies.
        gate: whether each set passes, of scores of shape [sets, n, samples of a unit] and the limit; `check` holds the
            first sets to the interval itself.
        excess: how far each unit is beyond the limit, shape [sets, n]: a bootstrap passes where the bound of its mean
            is below what it gives for the limit.
    """

    kind: str
    figure: str
    limit: Callable[[float], float]
    gate: Callable[[np.ndarray, np.ndarray, float, bool], np.ndarray]
    excess: Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, float]]


def means(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the drop of a mean."""
    return _plans(DROP, SCORES, sizes, sets)


def mean_ratios(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the ratio of two means."""
    return _plans(RATIO, SCORES, sizes, sets)


def _plans(statistic: Statistic, scores: tuple[Scores, ...], sizes: tuple[int, ...], sets: int) -> Plans:
    for n in sizes:
        for one in scores:
            limit = round(statistic.limit(one.drop or NO_DROP), 6)
            blank = Cell(statistic.kind, f"{statistic.figure}, {one.figure}", n, one.discordance, limit)
            yield Plan(blank, partial(mean, blank, one, statistic, sets))


def mean(blank: Cell, scores: Scores, statistic: Statistic, sets: int) -> Cell:
    """One cell."""
    power_sets = max(200, sets // 5)
    power = rates(blank, scores, statistic, power_sets, level=True)
    cell = replace(
        blank, power_sets=power_sets, power=power["gate"], peer_power=power["percentile"],
        others_power={name: power[name] for name in NAMES[1:]},
    )  # fmt: skip
    if not scores.drop:
        return cell
    false = rates(blank, scores, statistic, sets, level=False)
    return replace(
        cell, sets=sets, peer_sets=peers(blank.n, sets), false_pass_rate=false["gate"], peer=false["percentile"],
        others={name: false[name] for name in NAMES[1:]},
    )  # fmt: skip


def peers(n: int, sets: int) -> int:
    """On how many sets the bootstraps are tried."""
    return sets if n <= 400 else min(sets, 1000)


def rates(cell: Cell, scores: Scores, statistic: Statistic, sets: int, *, level: bool) -> dict[str, float]:
    """Share of sets that pass, by method."""
    random = generator(cell, "level" if level else "limit")
    passed = dict.fromkeys(("gate", *NAMES), 0)
    batch = max(1, min(500, BATCH // (cell.n * scores.samples)))
    resampled = 0
    for start in range(0, sets, batch):
        count = min(batch, sets - start)
        reference, value = scores.draw(count, cell.n, level=level, random=random)
        passed["gate"] += int(statistic.gate(reference, value, cell.limit, start == 0).sum())
        if start < peers(cell.n, sets):
            excess, limit = statistic.excess(reference.mean(axis=2), value.mean(axis=2), cell.limit)
            for name, bound in upper_bounds(excess, random).items():
                passed[name] += int((bound < limit).sum())
            resampled += count
    return {name: count / (sets if name == "gate" else resampled) for name, count in passed.items()}


def drop_passes(reference: np.ndarray, value: np.ndarray, limit: float, check: bool) -> np.ndarray:
    """Whether the upper bound of the drop lies below the limit, for each set.

    Where Student's bound is above the limit already, no chance is needed.
    """
    units = reference.shape[1]
    before, after = reference.mean(axis=2), value.mean(axis=2)
    drop = before - after
    student = drop.mean(axis=1) + stdtrit(units - 1, 1 - ALPHA) * drop.std(axis=1, ddof=1) / math.sqrt(units)
    passed = student < limit
    ones = np.ones(units)
    for index in np.flatnonzero(passed):
        passed[index] = mean_below(before[index], after[index], ones, limit)
    for index, (*scores, unit) in enumerate(_first(reference, value, check)):
        require_same(bool(passed[index]), mean_difference(*scores, unit).upper, limit)
    return passed


def ratio_passes(reference: np.ndarray, value: np.ndarray, limit: float, check: bool) -> np.ndarray:
    """Whether the lower bound of compressed ÷ float lies above the limit, for each set."""
    ones = np.ones(reference.shape[1])
    both = zip(reference.mean(axis=2), value.mean(axis=2), strict=True)
    passed = np.array([mean_ratio_above(before, after, ones, limit) for before, after in both])
    for index, (*scores, unit) in enumerate(_first(reference, value, check)):
        require_same(bool(passed[index]), -mean_ratio(*scores, unit).lower, -limit)
    return passed


def _first(
    reference: np.ndarray, value: np.ndarray, check: bool
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:  # fmt: skip
    """Scores and units of the first sets; of none where nothing is to be checked."""
    unit = np.repeat(np.arange(reference.shape[1]), reference.shape[2])
    sets = range(min(CHECKED, len(reference)) if check else 0)
    return [(reference[index].ravel(), value[index].ravel(), unit) for index in sets]


DROP = Statistic("mean", "mean", lambda drop: drop, drop_passes, lambda before, after, limit: (before - after, limit))
# The resampled ratio is above its limit where the mean of this is below zero.
RATIO = Statistic(
    "mean-ratio", "ratio of means", lambda drop: 1 - drop / MEAN, ratio_passes,
    lambda before, after, limit: (limit * before - after, 0.0),
)  # fmt: skip
