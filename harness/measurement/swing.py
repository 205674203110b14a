"""How far one sampling unit that was not seen can move an average over classes, as a multiple of its share of all.

A share of all samples is moved by a unit's share of them: a swing of 1. An average over classes is moved further by a
unit of a rare class, and it is there that a compressed model may lose without a sample that shows it. So the unit that
was not seen is taken to be of the kind that moves the figure most. With no discordant unit the bound of a drop is then
at least the Clopper-Pearson bound of the class that losses could be in, and at least that of losses in several: if a
share 1 - exp(-l) of each class's n units is lost, none is seen with the chance exp(-sum of n l), and the drop is no
more than the sum of n l times the largest move of one unit.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from harness.statistics import FloatArray

Statistic = Literal["precision", "recall", "f1"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
Integers = np.ndarray[Any, Any]


def of_labels(statistic: Statistic, targets: Integers, labels: Integers, owner: Integers) -> float:
    """The swing of a macro average of labels.

    Args:
        statistic: the figure of each class.
        targets: shape (samples,).
        labels: shape (samples,), those of the model that is taken to be the better one.
        owner: shape (samples,), the number of each sample's unit.

    Returns:
        At least 1.
    """
    classes, truth = np.unique(targets, return_inverse=True)
    # What names no class that there is counts for none.
    named = np.searchsorted(classes, labels[np.isin(labels, classes)])
    hit = truth[np.asarray(targets) == np.asarray(labels)]
    moves = _moves(statistic, *(np.bincount(some, minlength=len(classes)) for some in (hit, truth, named)))
    units = int(owner.max()) + 1
    return max(1.0, units * float(np.bincount(owner, moves[truth]).max()) / len(classes))


def _moves(statistic: Statistic, hit: Integers, support: Integers, named: Integers) -> FloatArray:
    """How far the sum over classes falls when a sample of each class that was named right is named wrong.

    The class that it is in loses a hit, and the class that it is taken for, the one that this harms most, is named once
    more. To the first order, and the largest of these moves holds for larger losses too. Where a share 1 - exp(-l) of a
    class's hits is lost, recall and F1 fall no further than in proportion to l (an F1 of 1 by tanh(l / 2)). Precision
    may: of 9 right among 10 named the first lost costs 0.01, and all nine 0.1 each. But it falls by l / 4 at most, and
    further than in proportion only from a precision a > 1 / 2 on. There each sample of another class that is named so
    costs a² / h of h hits, which makes more than l / 4, and the largest move is no less. A test tries what several
    classes lose together.
    """
    part, whole = {"precision": (hit, named), "recall": (hit, support), "f1": (2 * hit, named + support)}[statistic]
    share = divided(part, whole)
    lost = {"precision": 1 - share, "recall": np.ones(len(hit)), "f1": 2 - share}[statistic]
    own, other = divided(lost, whole), divided(share if statistic != "recall" else 0.0, whole)
    if len(other) < 2:
        return own
    first, second = np.argsort(-other, kind="stable")[:2]
    moves: FloatArray = own + np.where(np.arange(len(other)) == first, other[second], other[first])
    return moves


def of_counts(counts: Integers, owner: Integers) -> float:
    """The swing of a macro average of shares of objects: of the unit with the largest mean share over classes.

    Args:
        counts: shape (images, classes), what each class's figure is a share of; all classes that the average is over.
        owner: shape (images,), the number of each image's unit.

    Returns:
        At least 1 where an object is.
    """
    shares = np.zeros((int(owner.max()) + 1, counts.shape[1]))
    np.add.at(shares, owner, divided(counts, counts.sum(axis=0)))
    return float(len(shares) * shares.mean(axis=1).max())


def of_ranking(positives: Integers, owner: Integers) -> float:
    """The swing of a mean of average precisions.

    A unit moves it by the share of each class's objects that it holds, if a model misses them all, and besides by a
    false detection of the class with the fewest objects. One that is as sure as those that find an object are comes, on
    average, before half of the n hits: the precision of the k-th falls by 1 / k behind it, so the mean over all places
    that it may take is 1 / n. (Surer than all others, it would be the sum of 1 / k over n, and is not reckoned with.)

    Args:
        positives: shape (images, classes), the objects to be found, of the classes that have one.
        owner: shape (images,), the number of each image's unit.
    """
    units, fewest = int(owner.max()) + 1, float(positives.sum(axis=0).min())
    return of_counts(positives, owner) + float(units / (fewest * positives.shape[1]))


def divided(part: Any, total: Any) -> FloatArray:
    """Their quotient, 0 where there is nothing to divide by."""
    part, total = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(total, dtype=np.float64))
    quotient: FloatArray = np.divide(part, total, out=np.zeros(part.shape), where=total > 0)
    return quotient
