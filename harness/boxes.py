"""The truth of object detection as one array: boxes of an image, one a row, padded to the same number of rows.

A row is ``class, left, top, right, bottom, crowd`` in pixels of the image that the model is given, float32. A class of
-1 is padding. A crowd (COCO's ``iscrowd``) marks a region of many objects: finding it is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

COLUMNS = 6
LABEL, CROWD = 0, 5
EDGES = slice(1, 5)
PADDING = -1.0

Boxes = np.ndarray[Any, np.dtype[np.float32]]


def padded(images: Sequence[Boxes], most: int) -> Boxes:
    """The boxes of some images: shape (images, most, 6).

    Args:
        images: the boxes of each, shape (boxes, 6).
        most: rows an image; at least as many as any image has boxes.
    """
    rows = np.full((len(images), most, COLUMNS), PADDING, dtype=np.float32)
    for row, boxes in zip(rows, images, strict=True):
        row[: len(boxes)] = boxes
    return rows
