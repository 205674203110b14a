"""Figures whose samples hang together: right or wrong in clusters, totals over tokens, correlations, detections.

The gate's own measurement is made of every set; beside it stands the percentile bootstrap over units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import numpy as np

from accuracy import detections
from accuracy.cell import ALPHA, SIZES, Cell, Plan, Plans, generator
from accuracy.decided import CHECKED, Drops, mean_below, require_same, statistic_below
from harness.measurement import AveragePrecision, Base, Correlation, Finds, Pairs, Totals
from harness.statistics import smallest_limit
from harness.statistics.mean import unit_sums

RESAMPLES = 400
NOTHING = 1e-9  # a weight for a unit that was not drawn, so that no class is ever empty
PEERS = 500  # sets on which the bootstrap is tried
GRID, SHOWN = "no others are in the grid", "they show what is beyond the method"
# Those of perplexities, among which these rows once stood: so their figures stay what they were.
NUMBERS_OF = {"beyond": "token"}


class Drawn(Protocol):
    """Sets of one kind.

    Attributes:
        figure, discordance: what the table calls it.
        sizes: sampling units of the sets that are drawn.
        why: no other sizes are drawn.
    """

    figure: str
    discordance: float
    sizes: tuple[int, ...]
    why: str

    @property
    def limit(self) -> float:
        """The true drop (of a perplexity, rise of the mean) of what is drawn."""

    def finest(self, n: int) -> float:
        """The smallest limit that so many units can prove; the gate refuses a finer one."""

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set, and the drop for each row of weights of its units; `level` for no true drop."""


@dataclass(frozen=True)
class Clusters:
    """Units of five samples, right or wrong; of a share of units about half of the samples are lost."""

    figure: str
    discordance: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    @property
    def limit(self) -> float:
        """Half of the samples of those units."""
        return self.discordance / 2

    def finest(self, n: int) -> float:
        """That of a share of as many samples."""
        return smallest_limit(n)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        fate = random.random(n)[:, None] < self.discordance
        changed = fate & (random.random((n, 5)) < 0.5)
        # Of a unit that differs all samples are lost, or all won.
        won = changed & level & (random.random(n)[:, None] < 0.5)
        lost, right = changed & ~won, random.random((n, 5)) < 0.8
        reference, value = (right | lost) & ~won, (right | won) & ~lost
        drop = (reference.astype(float) - value).mean(axis=1)
        measured = Pairs(
            outcomes_reference=reference.ravel(), outcomes=value.ravel(), units=np.repeat(np.arange(n), 5), data="drawn"
        )
        return measured, lambda weights: weights @ drop / weights.sum(axis=1)


@dataclass(frozen=True)
class Uneven:
    """Units of one sample, and one in twenty of a hundred; of the large ones a share is lost as a whole."""

    figure: str
    lost: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    @property
    def discordance(self) -> float:
        """Share of units."""
        return self.lost / 20

    @property
    def limit(self) -> float:
        """Share of samples."""
        return self.lost * 100 / (19 + 100)

    def finest(self, n: int) -> float:
        """None is refused: the gate knows how many units there are, and not how large they are, before it measures."""
        return 0.0

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        size = np.where(np.arange(n) % 20 == 0, 100, 1)
        changed = (size > 1) & (random.random(n) < self.lost)
        won = changed & level & (random.random(n) < 0.5)
        unit = np.repeat(np.arange(n), size)
        drop = (changed & ~won).astype(float) - won
        measured = Pairs(outcomes_reference=~won[unit], outcomes=(~changed | won)[unit], units=unit, data="drawn")
        return measured, lambda weights: weights @ (drop * size) / (weights @ size)


@dataclass(frozen=True)
class Windows:
    """Documents of 50 to 400 tokens: the loss of a token rises by `rise` in a share of them, and wavers in all."""

    figure: str
    discordance: float
    rise: float
    noise: float
    sizes: tuple[int, ...] = SIZES
    why: str = GRID

    def finest(self, n: int) -> float:
        """None is refused: how far a token can go is not known."""
        return 0.0

    @property
    def limit(self) -> float:
        """Rise of the mean over tokens: e to it is the ratio of the perplexities."""
        return self.discordance * self.rise

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        tokens = random.integers(50, 401, n)
        moved = (random.random(n) < self.discordance) * self.rise
        if level:
            moved = moved * np.where(random.random(n) < 0.5, 1.0, -1.0)
        rise = moved + self.noise * random.standard_normal(n)
        before = tokens * (3 + 0.5 * random.standard_normal(n))
        measured = Totals(
            totals_reference=before, totals=before + tokens * rise, tokens=tokens, units=np.arange(n), data="drawn",
            exponential=True,
        )  # fmt: skip
        return measured, lambda weights: weights @ (tokens * rise) / (weights @ tokens)


@dataclass(frozen=True)
class Rises(Windows):
    """The same documents; what is bounded is by how much the perplexity rises, of which float's is an estimate too."""

    @property
    def limit(self) -> float:
        """Rise of the perplexity, from e³."""
        return math.exp(3) * math.expm1(super().limit)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        measured, _ = super().draw(n, level=level, random=random)
        assert isinstance(measured, Totals)
        sides, tokens = (measured.totals_reference, measured.totals), measured.tokens

        def rises(weights: np.ndarray) -> np.ndarray:
            before, after = (np.exp(weights @ side / (weights @ tokens)) for side in sides)
            return np.asarray(after - before)

        return measured, rises


@dataclass(frozen=True)
class Embeddings:
    """Samples with a true place in 8 dimensions, that each model sees with noise; all pairs are correlated.

    With noise of variance s² a coordinate, independent of the place, Pearson's coefficient of the inner products with
    the true ones is 1 / (1 + s²).
    """

    figure: str
    discordance: float = 1.0
    before: float = 0.2
    after: float = 0.3
    sizes: tuple[int, ...] = (20, 100)
    why: str = "the pairs of more embeddings take too long for thousands of sets"

    def finest(self, n: int) -> float:
        """None is refused: a coefficient has no known swing."""
        return 0.0

    @property
    def limit(self) -> float:
        """Fall of the coefficient."""
        return 1 / (1 + self.before) - 1 / (1 + self.after)

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[Base, Drops]:
        """One set."""
        places, one, other = random.standard_normal((3, n, 8))
        after = self.before if level else self.after
        # What the float model sees wrongly the compressed one sees wrongly too, and more.
        shared = math.sqrt(self.before) * one
        mine = shared if not level else math.sqrt(self.before) * (0.9 * one + math.sqrt(0.19) * other)
        seen = [places + shared, places + mine + (0 if level else math.sqrt(after - self.before) * other)]
        rows, columns = np.triu_indices(n, 1)
        truth, before, now = ((each @ each.T)[rows, columns] for each in (places, *seen))
        measured = Correlation(
            coefficient="pearson", first=rows, second=columns, truth=truth, similarities_reference=before,
            similarities=now, data="drawn",
        )  # fmt: skip

        def drops(weights: np.ndarray) -> np.ndarray:
            pair = weights[:, rows] * weights[:, columns]

            def coefficient(side: np.ndarray) -> np.ndarray:
                total = pair.sum(axis=1)
                means = [pair @ each / total for each in (side, truth)]
                moments = [pair @ each / total for each in (side * truth, side * side, truth * truth)]
                spread = np.sqrt((moments[1] - means[0] ** 2) * (moments[2] - means[1] ** 2))
                return np.asarray((moments[0] - means[0] * means[1]) / spread)

            return coefficient(before) - coefficient(now)

        return measured, drops


DRAWN: dict[str, tuple[Drawn, ...]] = {
    "cluster": (
        Clusters("share, units of 5, 10 % differ", 0.1),
        Clusters("share, units of 5, 1 % differ", 0.01),
        Uneven("share, 4 in 10 large units lost", 0.4),
        Uneven("share, 1 in 10 large units lost", 0.1),
    ),
    "token": (
        Windows("perplexity, all documents waver", 1.0, 0.02, 0.05),
        Windows("perplexity, 10 % of documents worse", 0.1, 0.5, 0.0),
        Windows("perplexity, 1 % of documents worse", 0.01, 0.5, 0.0),
    ),
    "rise": (
        Rises("rise of a perplexity by a tenth", 1.0, 0.1, 0.05),
        Rises("rise of a perplexity by a third", 1.0, 0.3, 0.05),
    ),
    "correlation": (Embeddings("Pearson's coefficient"),),
    "detection": detections.SCENES,
    # What was never seen among documents that all waver is known by nothing in the sample: no method that knows no more
    # than that can hold there.
    "beyond": (
        Windows("perplexity, 10 % worse, all waver", 0.1, 0.5, 0.02, sizes=(20,), why=SHOWN),
        Windows("perplexity, 1 % worse, all waver", 0.01, 1.0, 0.02, sizes=(100, 400), why=SHOWN),
    ),
}


def units(kind: str, sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells of a kind."""
    for n in sizes:
        for drawn in DRAWN[kind]:
            limit = true_limit(drawn)
            refused = limit < drawn.finest(n)
            blank = Cell(
                kind, drawn.figure, n, round(drawn.discordance, 6), round(limit, 6), refused=refused,
                not_run=None if refused else not_run(drawn, n),
            )  # fmt: skip
            yield Plan(blank, partial(cell, blank, drawn, sets))


def not_run(drawn: Drawn, n: int) -> str | None:
    """Why no sets of so many units are drawn; None where they are."""
    sizes = ", ".join(f"{one:,}" for one in drawn.sizes)
    return None if n in drawn.sizes else f"n of {sizes} alone, as {drawn.why}"


@cache
def true_limit(drawn: Drawn) -> float:
    """The limit of a kind, worked out once."""
    return drawn.limit


def cell(blank: Cell, drawn: Drawn, sets: int) -> Cell:
    """One cell."""
    power_sets = max(min(200, sets), sets // 5)
    power, false = rates(blank, drawn, power_sets, level=True), rates(blank, drawn, sets, level=False)
    return replace(
        blank, sets=sets, power_sets=power_sets, peer_sets=min(sets, PEERS), false_pass_rate=false[0], peer=false[1],
        power=power[0], peer_power=power[1],
    )  # fmt: skip


def rates(blank: Cell, drawn: Drawn, sets: int, *, level: bool) -> tuple[float, float]:
    """Share of sets that pass by this gate, and by the percentile bootstrap."""
    random = generator(numbered(blank), "level" if level else "limit")
    passed, tried = np.zeros(2), min(sets, PEERS)
    for index in range(sets):
        measured, drops = drawn.draw(blank.n, level=level, random=random)
        passed[0] += (
            -measured.drop(1 - ALPHA).lower < blank.limit
            if isinstance(drawn, Rises)
            else below(measured, drops, blank.limit, random, check=index < CHECKED)
        )
        if index < tried:
            counts = random.multinomial(blank.n, np.full(blank.n, 1 / blank.n), RESAMPLES) + NOTHING
            passed[1] += np.quantile(drops(counts), 1 - ALPHA) < blank.limit
    return float(passed[0] / sets), float(passed[1] / tried)


def numbered(blank: Cell) -> Cell:
    """The cell whose random numbers are drawn."""
    return replace(blank, kind=NUMBERS_OF.get(blank.kind, blank.kind))


def below(measured: Base, drops: Drops, limit: float, random: np.random.Generator, *, check: bool) -> bool:
    """Whether the gate's upper bound of the drop lies below the limit.

    Args:
        measured: what the gate would be given.
        drops: the drop for each row of weights of the units.
        limit: what it is held to.
        random: of weights.
        check: hold the short way to the interval.
    """
    short: bool | None = None
    if isinstance(measured, Totals):
        # A rise of the loss is the harm.
        short = mean_below(measured.totals, measured.totals_reference, measured.tokens.astype(float), limit)
    elif isinstance(measured, Pairs):
        sums = unit_sums(measured.outcomes_reference.astype(float), measured.outcomes.astype(float), measured.units)
        short = mean_below(*sums, limit, reach=1.0)
    elif isinstance(measured, AveragePrecision | Finds):
        short = statistic_below(drops, np.ones(measured.n, dtype=int), measured.swing[0], limit, random)
    if short is not None and not check:
        return short
    found = upper(measured)
    if short is not None:
        require_same(short, found, limit)
    return found < limit


def upper(measured: Base) -> float:
    """The gate's upper bound of the drop; of a perplexity, the logarithm of that of its ratio."""
    if isinstance(measured, Totals):
        return math.log(measured.ratio(1 - ALPHA).upper)
    return measured.drop(1 - ALPHA).upper
