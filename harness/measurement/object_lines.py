"""Measurements of objects on images, whose tables have a line an image and class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measurement.base import Sampled


class ObjectLines(Sampled):
    """What both models made of the objects on the same images, each of which belongs to a class."""

    @property
    @abstractmethod
    def _counted(self) -> np.ndarray[Any, Any]:
        """Whether there is an object or a detection: bool, shape (images, classes)."""

    @property
    def _lines(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The image and the class of each line, image by image.

        An image has a line for each class of which there is anything; one with nothing at all is a sample too, and has
        a line of the first class.
        """
        shown = self._counted.copy()
        shown[~shown.any(axis=1), :1] = True
        images, classes = np.nonzero(shown)
        return images, classes

    def ids(self, names: Sequence[str]) -> list[str]:
        """The image of each line."""
        if len(self.units) > len(names):
            return []
        images, _ = self._lines
        return [names[image] for image in images.tolist()]
