"""Rises of the kernel inception distance (KID) of generated images, by simulation.

KID is an unbiased U-statistic over generated images against real ones (Bińkowski et al. 2018, Demystifying MMD GANs,
arXiv:1801.01401), with the kernel (x·y / d + 1)³. Both models generate from the same seeds, so images pair up. The real
images are taken to be so many that only the generated ones vary; between the two models they cancel but for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from accuracy.cell import ALPHA, Cell, Plan, Plans, generator
from accuracy.resampling import RESAMPLES
from harness.statistics import mean_difference, statistic_difference

FEATURES = 64
NO_RISE = 0.05  # the limit where the models do not differ
MOST = 400  # images


def kernel_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Expected kernel of independent images with normal features, from the mean and spread of each."""
    (a, s), (b, t) = one, other
    first, second = a * b, (a**2 + s**2) * (b**2 + t**2)
    third = (a**3 + 3 * a * s**2) * (b**3 + 3 * b * t**2)
    more = FEATURES - 1
    square = (second + more * first**2) / FEATURES
    cube = (third + 3 * more * second * first + more * (more - 1) * first**3) / FEATURES**2
    return 1 + 3 * first + 3 * square + cube


REAL = (0.0, 1.0)


def against_real(images: np.ndarray) -> np.ndarray:
    """Expected kernel of each image with a real one, shape [n]."""
    return np.asarray(1 + 3 * (images**2).sum(axis=1) / FEATURES**2)


def kernel(images: np.ndarray) -> np.ndarray:
    """Of every two images, shape [n, n]."""
    base = images @ images.T / FEATURES + 1
    return base * base * base


def reach(reference: np.ndarray, broken: np.ndarray) -> float:
    """How far beyond an ordinary image's share in KID that of a broken one lies, at most.

    Args:
        reference: features of ordinary images, shape [n, features].
        broken: features of images that are as bad as they come, shape [images, features].
    """
    n, between = len(reference), kernel(reference)
    ordinary = (between.sum() - between.trace()) / (n * (n - 1)) - against_real(reference).mean()
    off = ((broken @ reference.T / FEATURES + 1) ** 3).mean(axis=1) - against_real(broken)
    return float(2 * (off - ordinary).max())


def pseudo_values(images: np.ndarray) -> np.ndarray:
    """Each image's share in KID: n times KID less n - 1 times KID without it; their mean is KID.

    Args:
        images: features, shape [n, features].
    """
    n, between = len(images), kernel(images)
    cross = between.sum(axis=1) - between.diagonal()
    pairs = cross.sum()
    without = (pairs - 2 * cross) / ((n - 1) * (n - 2))
    constant = kernel_between(REAL, REAL)
    return np.asarray(pairs / (n - 1) - (n - 1) * without - 2 * against_real(images) + constant)


@dataclass(frozen=True)
class Images:
    """Generated images; of a share of them the compressed model's lie `off` their place, all by the same way."""

    figure: str
    discordance: float
    off: float
    noise: float = 0.0
    at: float = 0.1

    def kid(self, broken: float) -> float:
        """True KID of a model of which that share of images lies off its place."""
        spread = math.hypot(1.0, self.noise) if broken else 1.0
        parts = ((1 - broken, (self.at, spread)), (broken, (self.at + self.off, spread)))
        own = sum(a * b * kernel_between(one, other) for a, one in parts for b, other in parts)
        real = sum(share * kernel_between(part, REAL) for share, part in parts)
        return own - 2 * real + kernel_between(REAL, REAL)

    @property
    def limit(self) -> float:
        """The true rise."""
        return self.kid(self.discordance) - self.kid(0.0) if self.discordance else NO_RISE

    def draw(self, n: int, *, level: bool, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features of both models' images; `level` for no true rise: each model has such images of its own."""
        reference = self.at + random.standard_normal((n, FEATURES))
        value = reference.copy()
        share = self.discordance / 2 if level else self.discordance
        for side in (reference, value) if level else (value,):
            if self.noise:
                side += self.noise * random.standard_normal((n, FEATURES))
            side[random.random(n) < share] += self.off
        return reference, value


IMAGES = (
    Images("KID, no image differs", 0.0, 0.0),
    Images("KID, 1 % of images broken", 0.01, 2.0),
    Images("KID, 10 % of images broken", 0.1, 1.0),
    Images("KID, all images differ a little", 1.0, 0.2, noise=0.2),
)


def kids(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for the rise of KID."""
    for n in sizes:
        why = f"n up to {MOST} alone, as the kernel of more images takes too long for thousands of sets"
        not_run = why if n > MOST else None
        for images in IMAGES:
            blank = Cell("kid", images.figure, n, images.discordance, round(images.limit, 6), not_run=not_run)
            yield Plan(blank, partial(kid, blank, images, sets))


METHODS = ("gate", "percentile", "pseudo-values", "statistic_difference")
WORST, BROKEN = 2.0, 10  # how far off the images are that nobody would ship, and how many of them are at hand


def kid(blank: Cell, images: Images, sets: int) -> Cell:
    """One cell."""
    power_sets = max(200, sets // 5)
    power = rates(blank, images, power_sets, level=True)
    cell = replace(
        blank, power_sets=power_sets, power=power["gate"], peer_power=power["percentile"],
        others_power={name: power[name] for name in METHODS[2:]},
    )  # fmt: skip
    if not images.discordance:
        return cell
    false = rates(blank, images, sets, level=False)
    return replace(
        cell, sets=sets, peer_sets=peers(blank.n, sets), false_pass_rate=false["gate"], peer=false["percentile"],
        others={name: false[name] for name in METHODS[2:]},
    )  # fmt: skip


def peers(n: int, sets: int) -> int:
    """On how many sets the bootstraps are tried: they are slow."""
    return min(sets, 1000 if n <= 100 else 200)


def rates(cell: Cell, images: Images, sets: int, *, level: bool) -> dict[str, float]:
    """Share of sets that pass, by method."""
    random = generator(cell, "level" if level else "limit")
    broken = images.at + WORST + random.standard_normal((BROKEN, FEATURES))
    passed, tried = dict.fromkeys(METHODS, 0), peers(cell.n, sets)
    for index in range(sets):
        reference, value = images.draw(cell.n, level=level, random=random)
        passed["gate"] += gate(reference, value, broken, cell.limit, random)
        if index < tried:
            before, after = pseudo_values(reference), pseudo_values(value)
            passed["pseudo-values"] += mean_difference(-before, -after).upper < cell.limit
            for name, bound in bootstraps(reference, value, random).items():
                passed[name] += bound < cell.limit
    return {name: count / (sets if name == "gate" else tried) for name, count in passed.items()}


def gate(
    reference: np.ndarray, value: np.ndarray, broken: np.ndarray, limit: float, random: np.random.Generator
) -> bool:
    """Whether the Bayesian bootstrap keeps the limit where one more image was made, and came out broken.

    Few weights tell where a set is far from passing: with more than 48 of 400 above the limit, no more than 5 % of
    thousands are in less than one case in a million.
    """
    index = np.argmax([reach(reference, one[None]) for one in broken])
    worst, others = broken[index], np.delete(broken, index, axis=0)
    before = weighted(np.vstack([reference, reference[random.integers(len(reference))]]))
    after = weighted(np.vstack([value, worst]), twin=float(((others @ worst / FEATURES + 1) ** 3).max()))

    def statistic(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A rise is the drop of the negated figure.
        return -before(weights), -after(weights)

    units = np.ones(len(reference) + 1, dtype=int)
    few = np.subtract(*statistic(random.standard_exponential((400, len(units)))))
    if (few > limit).mean() > 0.12:
        return False
    return statistic_difference(statistic, units, swing=None, resamples=2000).upper < limit


def weighted(images: np.ndarray, *, plain: bool = False, twin: float = -math.inf) -> Callable[[np.ndarray], np.ndarray]:
    """KID of images that count by weights of shape [resamples, n].

    Args:
        images: features, shape [n, features].
        plain: no image ever meets its own kind.
        twin: kernel of the last image with another of its kind.
    """
    between, real = kernel(images), against_real(images)
    np.fill_diagonal(between, -np.inf)
    alike = between.max(axis=1)
    alike[-1] = max(alike[-1], twin)
    np.fill_diagonal(between, 0.0 if plain else alike)

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        pairs = ((weights @ between) * weights).sum(axis=1)
        met = total**2 - (weights**2).sum(axis=1) if plain else total**2
        return np.asarray(pairs / met - 2 * (weights @ real) / total + kernel_between(REAL, REAL))

    return statistic


def bootstraps(reference: np.ndarray, value: np.ndarray, random: np.random.Generator) -> dict[str, float]:
    """Upper bounds of the rise by resampling: plain, and Bayesian with an unseen image."""
    n, before, after = len(reference), weighted(reference, plain=True), weighted(value, plain=True)

    def statistic(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -before(weights), -after(weights)

    counts = random.multinomial(n, np.full(n, 1 / n), RESAMPLES // 2).astype(float)
    plain = np.quantile(np.subtract(*statistic(counts)), 1 - ALPHA)
    unseen = statistic_difference(statistic, np.ones(n, dtype=int), resamples=RESAMPLES // 2)
    return {"percentile": float(plain), "statistic_difference": unseen.upper}
