"""Rises of the kernel distance between generated and real images (KID: the squared maximum mean discrepancy).

An unbiased U-statistic over features of images, with the kernel (x·y / d + 1)³. Both models generate from the same
noise, so images pair up. The real images are taken to be so many that only the generated ones vary.

What one broken image does to such a figure cannot be judged by ordinary ones. So the Bayesian bootstrap takes one more
image, which was not seen: a broken one on the side that the claim is made of, an ordinary one on the other.

Bińkowski, Sutherland, Arbel and Gretton (2018), Demystifying MMD GANs. arXiv:1801.01401.
Rubin (1981), The Bayesian bootstrap. Annals of Statistics 9, 130-134.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.statistics.interval import FloatArray, Interval, require_confidence
from harness.statistics.set_statistic import statistic_difference

METHOD = "Bayesian bootstrap with an unseen broken image"
RESAMPLES = 2000


@dataclass(frozen=True)
class ImageSet:
    """Images as the distance sees them.

    Attributes:
        features: shape [n, features].
        real: mean kernel of each with the real images, shape [n].
    """

    features: FloatArray
    real: FloatArray

    def __len__(self) -> int:
        return len(self.features)

    def with_one(self, other: ImageSet, index: int) -> ImageSet:
        """These images and one of another set."""
        return ImageSet(np.vstack([self.features, other.features[index]]), np.append(self.real, other.real[index]))


def kernel(one: FloatArray, other: FloatArray) -> FloatArray:
    """(x·y / d + 1)³ of each image of one set with each of the other: shape [n, m]."""
    base = one @ other.T / one.shape[1] + 1
    return np.asarray(base * base * base)


def mean_kernel(features: FloatArray) -> float:
    """Mean kernel of every two different images of a set: the distance's constant, of the real ones.

    Raises:
        ValueError: there are not two images.
    """
    if len(features) < 2:
        raise ValueError("a kernel distance needs two images at least")
    within = kernel(features, features)
    return float((within.sum() - within.trace()) / (len(features) * (len(features) - 1)))


def distance(images: ImageSet, constant: float) -> float:
    """The unbiased squared distance; may be below zero.

    Args:
        images: the generated ones.
        constant: mean kernel of every two real images.
    """
    return mean_kernel(images.features) - 2 * float(images.real.mean()) + constant


def weighted_distance(
    images: ImageSet, constant: float = 0.0, twin: float = -math.inf
) -> Callable[[FloatArray], FloatArray]:
    """The distance of images that count by weights: from shape [resamples, n] to [resamples].

    A weight stands for so many images of a kind, which meet each other too. What one makes of another of its kind is
    not its kernel with itself, and is taken to be what it makes of the image most like it: without that, a few broken
    images would count as if no two of them ever met.

    Args:
        images: to be weighted.
        constant: mean kernel of every two real images.
        twin: what the last image makes of another of its kind, where the others hold none.
    """
    between = kernel(images.features, images.features)
    np.fill_diagonal(between, -np.inf)
    alike = between.max(axis=1)
    alike[-1] = max(alike[-1], twin)
    np.fill_diagonal(between, alike)

    def statistic(weights: FloatArray) -> FloatArray:
        total = weights.sum(axis=1)
        pairs = ((weights @ between) * weights).sum(axis=1)
        return np.asarray(pairs / total**2 - 2 * (weights @ images.real) / total + constant)

    return statistic


def worst_of(broken: ImageSet, images: ImageSet) -> int:
    """Which of some broken images raises the distance most when it stands among these."""
    off = kernel(broken.features, images.features).mean(axis=1) - broken.real
    return int(off.argmax())


def twin_of(broken: ImageSet, index: int) -> float:
    """What a broken image makes of the one most like it; of itself, where it is alone."""
    between = kernel(broken.features[index][None], broken.features)[0]
    return float(np.delete(between, index).max() if len(between) > 1 else between[0])


def distance_rise(
    reference: ImageSet,
    value: ImageSet,
    broken: ImageSet,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bounds of the rise distance(compressed) - distance(float) of images that were made from the same noise.

    Args:
        reference: the float model's images.
        value: the compressed model's, in the same order.
        broken: images as bad as they come, for the one that was not seen.
        confidence: of each bound.
        seed: of the weights; the same input and seed give the same bounds.
        resamples: how often weights are drawn.

    Returns:
        The interval of the rise; infinite bounds where there are fewer than three images.

    Raises:
        ValueError: the sets are of unequal length, or none is broken.
    """
    require_confidence(confidence)
    if len(reference) != len(value) or len(broken) == 0:
        raise ValueError("both models make the same images, and at least one broken image is at hand")
    estimate = distance(value, 0.0) - distance(reference, 0.0)
    if len(value) < 3:
        return Interval(estimate, -math.inf, math.inf, confidence, METHOD)
    ordinary, worst = int(np.random.default_rng(seed).integers(len(reference))), worst_of(broken, reference)
    bounds = []
    for unseen in ("value", "reference"):
        sides = [
            side.with_one(broken, worst) if name == unseen else side.with_one(side, ordinary)
            for name, side in (("value", value), ("reference", reference))
        ]
        twins = [twin_of(broken, worst) if name == unseen else -math.inf for name in ("value", "reference")]
        statistics = [weighted_distance(side, twin=twin) for side, twin in zip(sides, twins, strict=True)]

        def both(
            weights: FloatArray, statistics: list[Callable[[FloatArray], FloatArray]] = statistics
        ) -> tuple[FloatArray, FloatArray]:
            return statistics[0](weights), statistics[1](weights)

        units = np.ones(len(value) + 1, dtype=int)
        bounds.append(statistic_difference(both, units, confidence, seed, swing=None, resamples=resamples))
    return Interval(estimate, bounds[1].lower, bounds[0].upper, confidence, METHOD)
