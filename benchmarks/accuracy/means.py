"""Drops of means of per-sample scores, by simulation; beside them the bootstraps over units."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import stdtrit

from accuracy.cell import ALPHA, Cell, Plan, Plans, generator
from accuracy.decided import CHECKED, mean_below, require_same
from accuracy.resampling import NAMES, upper_bounds
from harness.statistics import mean_difference

BATCH = 2_000_000  # scores at a time
NO_DROP = 0.05  # the limit where the models do not differ


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
    Scores("mean, no unit differs", 0.0, 0.5),
    Scores("mean, 1 % of units differ", 0.01, 1.0),
    Scores("mean, 10 % of units differ", 0.1, 1.0),
    Scores("mean, 10 % differ both ways", 0.1, 0.75),
    Scores("mean, all units differ", 1.0, 0.75),
    Scores("mean, all differ a little", 1.0, 0.5, size=0.0, noise=0.05),
    Scores("mean, all lose, few much", 1.0, 0.5, size=0.0, skew=0.02),
    Scores("mean, units of 5 samples", 0.1, 0.9, samples=5),
)


def means(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the drop of a mean."""
    for n in sizes:
        for scores in SCORES:
            blank = Cell("mean", scores.figure, n, scores.discordance, round(scores.drop or NO_DROP, 6))
            yield Plan(blank, partial(mean, blank, scores, sets))


def mean(blank: Cell, scores: Scores, sets: int) -> Cell:
    """One cell."""
    power_sets = max(200, sets // 5)
    power = rates(blank, scores, power_sets, level=True)
    cell = replace(
        blank, power_sets=power_sets, power=power["gate"], peer_power=power["percentile"],
        others_power={name: power[name] for name in NAMES[1:]},
    )  # fmt: skip
    if not scores.drop:
        return cell
    false = rates(blank, scores, sets, level=False)
    return replace(
        cell, sets=sets, peer_sets=peers(blank.n, sets), false_pass_rate=false["gate"], peer=false["percentile"],
        others={name: false[name] for name in NAMES[1:]},
    )  # fmt: skip


def peers(n: int, sets: int) -> int:
    """On how many sets the bootstraps are tried."""
    return sets if n <= 400 else min(sets, 1000)


def rates(cell: Cell, scores: Scores, sets: int, *, level: bool) -> dict[str, float]:
    """Share of sets that pass, by method."""
    random = generator(cell, "level" if level else "limit")
    passed = dict.fromkeys(("gate", *NAMES), 0)
    batch = max(1, min(500, BATCH // (cell.n * scores.samples)))
    resampled = 0
    for start in range(0, sets, batch):
        count = min(batch, sets - start)
        reference, value = scores.draw(count, cell.n, level=level, random=random)
        passed["gate"] += int(gate(reference, value, cell.limit, check=start == 0).sum())
        if start < peers(cell.n, sets):
            drop = (reference - value).mean(axis=2)
            for name, bound in upper_bounds(drop, random).items():
                passed[name] += int((bound < cell.limit).sum())
            resampled += count
    return {name: count / (sets if name == "gate" else resampled) for name, count in passed.items()}


def gate(reference: np.ndarray, value: np.ndarray, limit: float, *, check: bool) -> np.ndarray:
    """Whether the upper bound of the drop lies below the limit, for each set.

    Where Student's bound is above the limit already, no chance is needed.

    Args:
        reference: shape [sets, n, samples of a unit].
        value: shape [sets, n, samples of a unit].
        limit: what the drop is held to.
        check: hold the first sets to the interval itself.
    """
    units = reference.shape[1]
    before, after = reference.mean(axis=2), value.mean(axis=2)
    drop = before - after
    student = drop.mean(axis=1) + stdtrit(units - 1, 1 - ALPHA) * drop.std(axis=1, ddof=1) / math.sqrt(units)
    passed = student < limit
    ones = np.ones(units)
    for index in np.flatnonzero(passed):
        passed[index] = mean_below(before[index], after[index], ones, limit)
    if check:
        unit = np.repeat(np.arange(units), reference.shape[2])
        for index in range(min(CHECKED, len(passed))):
            interval = mean_difference(reference[index].ravel(), value[index].ravel(), unit)
            require_same(bool(passed[index]), interval.upper, limit)
    return passed
