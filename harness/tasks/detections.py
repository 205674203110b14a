"""Which detections found an object: matched once an image, the surest first, as COCO matches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.boxes import CROWD, EDGES, LABEL
from harness.errors import Unmeasurable
from harness.measurement import AveragePrecision, Finds
from harness.measurement.average_precision import Ranking
from harness.measurement.swing import Statistic
from harness.tasks.base import Answers, Evaluation

# COCO's ten overlaps, and the one that everybody quotes.
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
# A detection below this is not shown to anyone: the usual setting of a detector in use.
SHOWN = 0.25
# A float model below this average precision finds nothing, however many classes there are.
NOTHING = 0.01

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Matched:
    """One model's detections on all images, in no particular order.

    Attributes:
        images, labels: shape (detections,).
        scores: shape (detections,).
        hits, ignored: shape (detections, overlaps).
    """

    images: Array
    labels: Array
    scores: Array
    hits: Array
    ignored: Array


def average_precision(evaluation: Evaluation, overlaps: tuple[float, ...]) -> AveragePrecision:
    """Both models' detections, matched at some overlaps and ranked.

    Raises:
        Unmeasurable: there is no object to find, or the float model finds none.
    """
    measured = AveragePrecision(
        overlaps=len(overlaps),
        positives=_positives(evaluation),
        ranking_reference=_ranked(matched(evaluation.reference, evaluation.targets, overlaps)),
        ranking=_ranked(matched(evaluation.compressed, evaluation.targets, overlaps)),
        units=evaluation.units,
        data=evaluation.data,
    )
    _require_finding(measured.reference)
    return measured


def finds(evaluation: Evaluation, statistic: Statistic) -> Finds:
    """What both models found at an overlap of 0.5 with detections of a score of 0.25 or more.

    Raises:
        Unmeasurable: there is no object to find, or the float model finds none.
    """
    positives = _positives(evaluation)
    counts = []
    for answers in (evaluation.reference, evaluation.compressed):
        found = matched(answers, evaluation.targets, OVERLAPS[:1])
        shown = (found.scores >= SHOWN) & ~found.ignored[:, 0]
        counts += [_counted(found, shown & found.hits[:, 0], positives.shape), _counted(found, shown, positives.shape)]
    measured = Finds(
        statistic=statistic, positives=positives, hits_reference=counts[0], made_reference=counts[1],
        hits=counts[2], made=counts[3], units=evaluation.units, data=evaluation.data,
    )  # fmt: skip
    _require_finding(measured.reference)
    return measured


def matched(answers: Answers, targets: Array, overlaps: tuple[float, ...]) -> Matched:
    """Decide for each detection whether it found an object that no surer one found before.

    Args:
        answers: ``boxes``, ``scores`` and ``labels`` as the task keeps them.
        targets: as `harness.boxes` says.
        overlaps: least intersection ÷ union.
    """
    parts = [
        _image(boxes, scores, labels, truth, np.array(overlaps))
        for boxes, scores, labels, truth in zip(
            answers["boxes"], answers["scores"], answers["labels"], targets, strict=True
        )
    ]
    images = np.repeat(np.arange(len(parts)), [len(labels) for labels, *_ in parts])
    labels, scores, hits, ignored = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Matched(images, labels, scores, hits, ignored)


def _image(
    boxes: Array, scores: Array, labels: Array, truth: Array, overlaps: Array
) -> tuple[Array, Array, Array, Array]:
    """Labels, scores, hits and ignored detections of one image."""
    kept = np.flatnonzero(labels >= 0)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    boxes, scores, labels = boxes[kept].astype(np.float64), scores[kept], labels[kept]
    truth = truth[truth[:, LABEL] >= 0].astype(np.float64)
    crowd = truth[:, CROWD] > 0
    # Objects before crowds: a crowd takes what no object does.
    truth, crowd = truth[np.argsort(crowd, kind="stable")], np.sort(crowd)
    shared = _overlaps(boxes, truth[:, EDGES], crowd)
    hits = np.zeros((len(kept), len(overlaps)), dtype=bool)
    ignored = np.zeros_like(hits)
    taken = np.zeros((len(overlaps), len(truth)), dtype=bool)
    for row, label in enumerate(labels):
        own = (truth[:, LABEL] == label) & (shared[row] >= overlaps[0])
        if not own.any():
            continue
        fits = own & (shared[row] >= overlaps[:, None]) & ~(taken & ~crowd)
        for wanted, marks in ((~crowd, hits), (crowd, ignored)):
            free = fits & wanted
            # Of equal overlaps the last, as COCO's loop leaves it.
            best = free.shape[1] - 1 - np.where(free, shared[row], -1.0)[:, ::-1].argmax(axis=1)
            chosen = free.any(axis=1) & ~hits[row]
            marks[row] = chosen
            taken[np.flatnonzero(chosen), best[chosen]] = True
    return labels.astype(np.int64), scores, hits, ignored


def _overlaps(boxes: Array, truth: Array, crowd: Array) -> Array:
    """Intersection ÷ union, shape (boxes, objects); of a crowd, intersection ÷ the detection's own area."""
    edges = [np.minimum(boxes[:, None, side], truth[None, :, side]) for side in (2, 3)]
    corners = [np.maximum(boxes[:, None, side], truth[None, :, side]) for side in (0, 1)]
    both = np.clip(edges[0] - corners[0], 0, None) * np.clip(edges[1] - corners[1], 0, None)
    own, other = ((part[:, 2] - part[:, 0]) * (part[:, 3] - part[:, 1]) for part in (boxes, truth))
    whole = np.where(crowd, own[:, None], own[:, None] + other[None, :] - both)
    shares: Array = np.divide(both, whole, out=np.zeros_like(both), where=whole > 0)
    return shares


def objects(targets: Array) -> Array:
    """Objects an image and class that are to be found, of the classes that have one: shape (images, classes).

    Raises:
        Unmeasurable: there is none.
    """
    counts = _counts(targets)
    return counts[:, counts.any(axis=0)]


def _positives(evaluation: Evaluation) -> Array:
    """Objects an image and class that are to be found: uint16, shape (images, classes)."""
    named = max(int(side["labels"].max(initial=-1)) for side in (evaluation.reference, evaluation.compressed))
    return _counts(evaluation.targets, named)


def _counts(targets: Array, named: int = -1) -> Array:
    labels = targets[:, :, LABEL]
    real = (labels >= 0) & (targets[:, :, CROWD] <= 0)
    if not real.any():
        raise Unmeasurable("no evaluation image has an object on it: there is nothing to find")
    positives = np.zeros((len(labels), max(int(labels.max()), named) + 1), dtype=np.uint16)
    images, places = np.nonzero(real)
    np.add.at(positives, (images, labels[images, places].astype(np.int64)), 1)
    return positives


def _ranked(found: Matched) -> Ranking:
    """By class and falling score; what comes after a class's last hit moves no figure and is left out."""
    order = np.lexsort((found.images, -found.scores, found.labels))
    labels, hit = found.labels[order], found.hits[order].any(axis=1)
    places = np.arange(len(order))
    # For each class the place of its last hit, or -1.
    last = np.full(int(labels.max(initial=-1)) + 1, -1)
    np.maximum.at(last, labels[hit], places[hit])
    order = order[places <= last[labels]]
    bits = 1 << np.arange(found.hits.shape[1])
    return Ranking(
        images=found.images[order].astype(np.int32),
        labels=found.labels[order].astype(np.int16),
        hits=(found.hits[order] * bits).sum(axis=1).astype(np.int16),
        ignored=(found.ignored[order] * bits).sum(axis=1).astype(np.int16),
    )


def _counted(found: Matched, which: Array, shape: tuple[int, ...]) -> Array:
    counts = np.zeros(shape, dtype=np.uint16)
    np.add.at(counts, (found.images[which], found.labels[which]), 1)
    return counts


def _require_finding(reference: float) -> None:
    if reference < NOTHING:
        raise Unmeasurable(
            f"the float model finds next to nothing ({reference:.4f}), and what it never found cannot be lost: was it "
            "loaded, and fed, as it was trained? Are the data's classes in the model's order?"
        )
