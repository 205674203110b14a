"""What permuting the weights of one layer where they are stored takes, whatever the format of the file.

The file is changed and not the model before it is saved, so float32, float16 and packed int8 weights, and artifacts
that were compressed elsewhere, are all treated alike: the stored elements of the matrix change places, and nothing
else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from harness.errors import Unmeasurable

T = TypeVar("T")


def inner(layers: Sequence[tuple[int, T]]) -> T:
    """The largest of some layers that is neither the first nor the last; of equals the first.

    Args:
        layers: how many elements, and what; in the order in which they run. Of one or two, the larger.

    Raises:
        Unmeasurable: there is no layer.
    """
    if not layers:
        raise Unmeasurable("the artifact stores no weight matrix of a linear layer or convolution")
    return max(layers[1:-1] or layers, key=lambda layer: layer[0])[1]


def permuted(raw: bytes, width: int, seed: int) -> bytes:
    """The elements, each of `width` bytes, in an order that the seed gives."""
    elements = np.frombuffer(raw, dtype=f"V{width}")
    return elements[np.random.default_rng(seed).permutation(elements.size)].tobytes()
