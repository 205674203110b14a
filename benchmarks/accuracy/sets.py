"""Drops of macro F1, precision and recall, by simulation; beside them the percentile bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from accuracy.cell import ALPHA, Cell, Plan, Plans, generator
from accuracy.decided import CHECKED, DRAWS, require_same, statistic_below
from harness.measurement import Labels
from harness.measurement.swing import Statistic, of_labels
from harness.statistics import smallest_limit

NO_DROP = 0.05  # the limit where the models do not differ


@dataclass(frozen=True)
class Classes:
    """Predictions over classes of given shares; a wrong one names the next class.

    Attributes:
        statistic: which figure.
        name: of the classes.
        shares: of each class.
        discordance: share of samples on which exactly one model is wrong.
        drop: how many more the compressed model gets wrong, as a share.
        wrong: share that both models get wrong.
        only: the one class in which the models differ; None where they differ in all alike. The classes are of fixed
            size then: what is averaged over is the classes that the split has.
    """

    statistic: Statistic
    name: str
    shares: tuple[float, ...]
    discordance: float
    drop: float
    wrong: float = 0.03
    only: int | None = None

    def fates(self, drop: float) -> np.ndarray:
        """Chances of a sample of each class to be lost, won, wrong for both, right for both: shape [classes, 4]."""
        lost, won = (np.full(len(self.shares), (self.discordance + sign * drop) / 2) for sign in (1, -1))
        if self.only is not None:
            here = np.arange(len(self.shares)) == self.only
            lost, won = (np.where(here, rate / self.shares[self.only], 0.0) for rate in (lost, won))
        both = np.full(len(self.shares), self.wrong)
        return np.stack([lost, won, both, 1 - lost - won - both], axis=1)

    def sizes(self, n: int) -> np.ndarray:
        """How many samples of each class there are where their number is fixed: shape [classes]."""
        least = np.floor(np.array(self.shares) * n + 1e-9).astype(int)
        return least + (np.arange(len(least)) < n - least.sum())

    def finest(self, n: int) -> float:
        """The smallest limit that so many samples can prove: the gate refuses a finer one."""
        if self.sizes(n).min() == 0:
            return math.inf
        target = np.repeat(np.arange(len(self.shares)), self.sizes(n))
        return smallest_limit(n) * of_labels(self.statistic, target, target, np.arange(n))

    def columns(self, target: np.ndarray, fate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the float and of the compressed model; fate counts as `fates` lists."""
        other = (target + 1) % len(self.shares)
        return np.where((fate == 1) | (fate == 2), other, target), np.where((fate == 0) | (fate == 2), other, target)

    @property
    def limit(self) -> float:
        """The drop of the figure in an endless sample: every kind of sample, weighted by its chance."""
        if not self.drop:
            return NO_DROP
        target, fate = (grid.ravel() for grid in np.meshgrid(np.arange(len(self.shares)), np.arange(4)))
        weights = np.array(self.shares)[target] * self.fates(self.drop)[target, fate]
        both = self.measured(target, *self.columns(target, fate))
        sides = (both._macro(side, weights[None])[0] for side in (both.labels_reference, both.labels))
        return float(np.subtract(*sides))

    def measured(self, target: np.ndarray, reference: np.ndarray, value: np.ndarray) -> Labels:
        """What the gate would be given."""
        return Labels(
            statistic=self.statistic, targets=target, labels_reference=reference, labels=value,
            units=np.arange(len(target)), data="simulated",
        )  # fmt: skip

    def draw(self, n: int, drop: float, random: np.random.Generator) -> Labels:
        """One set."""
        if self.only is None:
            target = random.choice(len(self.shares), n, p=self.shares)
        else:
            target = np.repeat(np.arange(len(self.shares)), self.sizes(n))
        fate = (random.random(n)[:, None] > self.fates(drop)[target].cumsum(axis=1)[:, :3]).sum(axis=1)
        return self.measured(target, *self.columns(target, fate))


TEN, UNEVEN = ("10 classes", (0.1,) * 10), ("3 uneven classes", (0.7, 0.2, 0.1))
RARE = ("10 classes, 1 rare", (*(0.98 / 9,) * 9, 0.02))
TWO_RARE = ("3 classes, 2 rare", (0.96, 0.02, 0.02))
CLASSES = (
    # A compressed model that fails in one class: in the rare one, or by naming a common one as it.
    Classes("f1", *RARE, 0.01, 0.01, only=9),
    Classes("f1", *RARE, 0.002, 0.002, only=9),
    Classes("recall", *RARE, 0.01, 0.01, only=9),
    Classes("recall", *RARE, 0.002, 0.002, only=9),
    Classes("precision", *RARE, 0.02, 0.02, only=8),
    Classes("precision", *RARE, 0.002, 0.002, only=8),
    Classes("f1", *RARE, 0.01, 0.01, only=8),
    Classes("f1", *TWO_RARE, 0.01, 0.01, only=2),
    Classes("recall", *TWO_RARE, 0.01, 0.01, only=2),
    Classes("precision", *TWO_RARE, 0.01, 0.01, only=0),
    # Errors that fall evenly on all classes.
    Classes("f1", *TEN, 0.0, 0.0),
    Classes("f1", *TEN, 0.01, 0.01),
    Classes("f1", *TEN, 0.1, 0.1),
    Classes("f1", *TEN, 0.1, 0.05),
    Classes("f1", *UNEVEN, 0.01, 0.01),
    Classes("f1", *UNEVEN, 0.1, 0.1),
    Classes("precision", *UNEVEN, 0.01, 0.01),
    Classes("precision", *UNEVEN, 0.1, 0.1),
    Classes("recall", *UNEVEN, 0.01, 0.01),
    Classes("recall", *UNEVEN, 0.1, 0.1),
)


def set_statistics(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the drop of an average over classes."""
    for n in sizes:
        for classes in CLASSES:
            limit = classes.limit
            figure = f"macro {classes.statistic}, {classes.name}"
            if classes.only is not None:
                figure += f", losses in a class of {classes.shares[classes.only]:.0%}"
            refused = limit < classes.finest(n)
            blank = Cell("set", figure, n, classes.discordance, round(limit, 6), refused=refused)
            yield Plan(blank, partial(set_statistic, blank, classes, sets))


def set_statistic(blank: Cell, classes: Classes, sets: int) -> Cell:
    """One cell."""
    power_sets = max(200, sets // 5)
    power, peer_power = rates(blank, classes, 0.0, power_sets)
    cell = replace(blank, power_sets=power_sets, power=power, peer_power=peer_power)
    if not classes.drop:
        return cell
    false, peer = rates(blank, classes, classes.drop, sets)
    return replace(cell, sets=sets, peer_sets=peers(sets), false_pass_rate=false, peer=peer)


def rates(cell: Cell, classes: Classes, drop: float, sets: int) -> tuple[float, float]:
    """Share of sets that pass by this gate, and by the percentile bootstrap."""
    random = generator(cell, f"drop {drop}")
    passed = np.zeros(2)
    for index in range(sets):
        measured = classes.draw(cell.n, drop, random)
        passed += decide(cell, measured, random, check=index < CHECKED, peer=index < peers(sets))
    return float(passed[0] / sets), float(passed[1] / peers(sets))


def peers(sets: int) -> int:
    """On how many sets the percentile bootstrap is tried."""
    return min(sets, 2000)


def decide(cell: Cell, measured: Labels, random: np.random.Generator, *, check: bool, peer: bool) -> tuple[bool, bool]:
    """Whether this gate passes one set, and whether the percentile bootstrap does; False where that is not asked."""
    names = ("targets", "labels_reference", "labels")
    sides = [getattr(measured, name) for name in names]
    # In one number for all three: rows of three take ten times as long to sort.
    base = 1 + max(int(side.max()) for side in sides)
    codes, counts = np.unique((sides[0] * base + sides[1]) * base + sides[2], return_counts=True)
    kinds = (codes // base**2, codes // base % base, codes % base)
    few = measured.model_copy(update=dict(zip(names, kinds, strict=True)))

    def drops(weights: np.ndarray) -> np.ndarray:
        return few._macro(few.labels_reference, weights) - few._macro(few.labels, weights)

    gate = statistic_below(drops, counts, measured.swing[0], cell.limit, random)
    if gate is None or check:
        upper = measured.drop(1 - ALPHA).upper
        if gate is not None:
            require_same(gate, upper, cell.limit)
        gate = upper < cell.limit
    if not peer:
        return bool(gate), False
    resampled = drops(random.multinomial(cell.n, counts / cell.n, DRAWS).astype(float))
    return bool(gate), bool(np.quantile(resampled, 1 - ALPHA) < cell.limit)
