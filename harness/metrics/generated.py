"""What metrics of generated images share: the images of both models, and the real ones, as features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harness.errors import Unmeasurable
from harness.metrics.base import Bench, Metric
from harness.metrics.features import Features
from harness.metrics.fidelity import require_same_shape
from harness.tasks.base import Evaluation


@dataclass(frozen=True)
class Space:
    """Images as features, shape (images, features) each.

    Attributes:
        reference, compressed: of both models, from the same noise.
        real: of real images; row i · k + j is the j-th of those that belong to sample i.
        broken: of noise and of blank images.
        data: fingerprint of all of it.
    """

    reference: np.ndarray[Any, Any]
    compressed: np.ndarray[Any, Any]
    real: np.ndarray[Any, Any]
    broken: np.ndarray[Any, Any]
    data: str


class Compared(Metric):
    """What every metric is that compares generated images with real ones in a feature space."""

    features: Features = Field(default_factory=Features, description="the classifier in whose features images are seen")
    needs_data: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    targets: ClassVar[str] = "real images"

    def space(self, bench: Bench) -> Space:
        """Every image as features.

        Raises:
            Unmeasurable: the images of both models and the real ones are not of one shape, or features are not finite
                or all zero.
        """
        evaluation = bench.evaluation()
        made, real = evaluation.reference["image"], evaluation.targets.reshape(-1, *evaluation.targets.shape[2:])
        require_alike(evaluation)
        with bench.working():
            reference, compressed, held, worst = (
                self.features.of(each, bench.root)
                for each in (made, evaluation.compressed["image"], real, broken(real))
            )
        for each in (reference, compressed, held):
            if not np.isfinite(each).all():
                raise Unmeasurable("the classifier of `features:` gives features that are not finite")
        unit = float(np.sqrt((held.astype(np.float64) ** 2).mean())) if self.features.scale == "real" else 1.0
        if not unit > 0:
            raise Unmeasurable("the classifier of `features:` gives zeros for every real image")
        return Space(
            reference=reference / unit,
            compressed=compressed / unit,
            real=held / unit,
            broken=worst / unit,
            data=hashlib.sha256(f"{evaluation.data} {self.features.fingerprint(bench.root)}".encode()).hexdigest(),
        )


def require_alike(evaluation: Evaluation) -> None:
    """Hold the images that both models make to the shape of real ones.

    Raises:
        Unmeasurable: with both shapes, and where to set them.
    """
    require_same_shape(evaluation)
    made, real = evaluation.reference["image"].shape[1:], evaluation.targets.shape[2:]
    if made != real:
        raise Unmeasurable(
            f"the float model makes images of shape {made}, and the real ones have {real} (channels, height, width): "
            "set `image_size` and channels of `data.images` to what the model makes"
        )


def broken(real: np.ndarray[Any, Any], each: int = 8) -> np.ndarray[Any, Any]:
    """Images as bad as they come: noise of every pixel, black, grey and white.

    Args:
        real: shape (images, channels, height, width), for the shape.
        each: how many of noise.

    Returns:
        float32, shape (each + 3, channels, height, width), shares of full scale.
    """
    noise = np.random.default_rng(0).random((each, *real.shape[1:]), dtype=np.float32)
    blank = np.ones((3, *real.shape[1:]), dtype=np.float32) * np.array([0.0, 0.5, 1.0], np.float32)[:, None, None, None]
    return np.concatenate([noise, blank])
