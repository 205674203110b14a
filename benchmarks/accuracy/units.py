"""Figures whose samples hang together: right or wrong in clusters, totals over tokens, correlations, detections.

The gate's own measurement is made of every set; beside it stands the percentile bootstrap over units.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from typing import Protocol

import numpy as np

from accuracy import detections
from accuracy.cell import ALPHA, Cell, Plan, Plans, generator
from accuracy.clusters import Clusters, Uneven
from accuracy.decided import CHECKED, Drops, mean_below, require_same, statistic_below
from accuracy.documents import Rises, Windows
from accuracy.embeddings import Embeddings
from harness.measurement import AveragePrecision, Base, Finds, Pairs, Totals
from harness.statistics.mean import unit_sums

RESAMPLES = 400
NOTHING = 1e-9  # a weight for a unit that was not drawn, so that no class is ever empty
PEERS = 500  # sets on which the bootstrap is tried
SHOWN = "they show what is beyond the method"
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
