"""Scenes with objects that two detectors find, or make up: for mean average precision and F1 of boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.measurement import AveragePrecision, Base, Finds
from harness.measurement.average_precision import Ranking
from harness.measurement.swing import of_counts, of_ranking
from harness.statistics import smallest_limit

LARGE = 40_000  # scenes of which the true drop is read


@dataclass(frozen=True)
class Scenes:
    """Three classes, two objects a scene on average; the float model finds 95 % of them and makes up one in five.

    Attributes:
        statistic: the figure.
        missed: share of the objects of `classes` that the compressed model misses where the float model finds them.
        made: false detections of `classes` a scene that the compressed model makes besides.
    """

    figure: str
    statistic: Literal["map", "f1"]
    classes: tuple[int, ...]
    missed: float = 0.0
    made: float = 0.0
    sizes: tuple[int, ...] = (100, 400)
    why: str = "a larger set takes up to seconds"
    rates: tuple[float, ...] = (1.2, 0.6, 0.2)

    @property
    def discordance(self) -> float:
        """Changed detections a scene."""
        return self.missed * sum(self.rates[one] for one in self.classes) + self.made * len(self.classes)

    @property
    def limit(self) -> float:
        """The drop on so many scenes that what is left of chance is a hundredth of it or so."""
        measured, _ = self.draw(LARGE, level=False, random=np.random.default_rng(7))
        return (measured.reference or 0.0) - measured.value

    def finest(self, n: int) -> float:
        """What a middling set of so many scenes can prove."""
        swings = []
        for seed in range(9):
            positives = np.random.default_rng(seed).poisson(self.rates, (n, 3))
            swing = of_ranking if self.statistic == "map" else of_counts
            # Few scenes may hold no object of the rare class: nothing can be proven of it then.
            swings.append(swing(positives, np.arange(n)) if positives.any(axis=0).all() else math.inf)
        return smallest_limit(n) * float(np.median(swings))

    def draw(self, n: int, *, level: bool, random: np.random.Generator):  # type: ignore[no-untyped-def]
        """One set, and the drop for each row of weights of its scenes; `level`: both models change as much."""
        positives = random.poisson(self.rates, (n, 3))
        image, label = (np.repeat(grid.ravel(), positives.ravel()) for grid in np.indices(positives.shape))
        score, found = random.beta(5, 2, len(image)), random.random(len(image)) < 0.95
        wrong = random.poisson(0.2 * np.array(self.rates), (n, 3))
        false = [np.repeat(grid.ravel(), wrong.ravel()) for grid in np.indices(wrong.shape)]
        shown = random.beta(2, 5, len(false[0]))
        sides = []
        for worse in (level, True):
            share = 0.5 if level else 1.0
            lost = (np.isin(label, self.classes) & (random.random(len(label)) < share * self.missed)) & worse
            more = random.poisson(share * self.made * worse, (n, len(self.classes)))
            where, which = (np.repeat(grid.ravel(), more.ravel()) for grid in np.indices(more.shape))
            named = np.array(self.classes, dtype=int)[which]
            hit = found & ~lost
            sides.append(
                (
                    np.concatenate([image[hit], false[0], where]),
                    np.concatenate([label[hit], false[1], named]),
                    # What is made up is as sure as what is there.
                    np.concatenate([score[hit], shown, random.beta(5, 2, len(where))]),
                    np.arange(hit.sum() + len(shown) + len(where)) < hit.sum(),
                )
            )
        measured = self.measured(positives, sides)
        return measured, lambda weights: np.subtract(*both(measured, weights))

    def measured(self, positives: np.ndarray, sides: list[tuple[np.ndarray, ...]]) -> Base:
        """What the gate would be given."""
        if self.statistic == "map":
            return AveragePrecision(
                overlaps=1, positives=positives, ranking_reference=ranking(*sides[0]), ranking=ranking(*sides[1]),
                units=np.arange(len(positives)), data="drawn",
            )  # fmt: skip
        counts = []
        for images, labels, _, hits in sides:
            for kept in (hits, np.ones_like(hits)):
                count = np.zeros_like(positives)
                np.add.at(count, (images[kept], labels[kept]), 1)
                counts.append(count)
        return Finds(
            statistic="f1", positives=positives, hits_reference=counts[0], made_reference=counts[1], hits=counts[2],
            made=counts[3], units=np.arange(len(positives)), data="drawn",
        )  # fmt: skip


def ranking(images: np.ndarray, labels: np.ndarray, scores: np.ndarray, hits: np.ndarray) -> Ranking:
    """Detections by class and falling score."""
    order = np.lexsort((-scores, labels))
    hit = hits[order].astype(np.int16)
    return Ranking(images=images[order], labels=labels[order], hits=hit, ignored=np.zeros_like(hit))


def both(measured: Base, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The figure of both models for each row of weights of the scenes."""
    if isinstance(measured, AveragePrecision):
        return measured._mean(measured.ranking_reference, weights), measured._mean(measured.ranking, weights)
    assert isinstance(measured, Finds)
    return (
        measured._macro(measured.hits_reference, measured.made_reference, weights),
        measured._macro(measured.hits, measured.made, weights),
    )


EVERY = (0, 1, 2)
SCENES = tuple(
    Scenes(f"{name} of boxes, {how}", statistic, classes, missed, made)
    for statistic, name in (("map", "mAP"), ("f1", "F1"))
    for how, classes, missed, made in (
        ("objects missed", EVERY, 0.1, 0.0),
        ("rare objects missed", (2,), 0.3, 0.0),
        ("rare ones made up", (2,), 0.0, 0.05),
    )
)
