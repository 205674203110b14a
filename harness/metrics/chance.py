"""Whether a float model knows anything: one at chance level has nothing to lose, and no drop can be told from luck."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import bdtrc

from harness.errors import Unmeasurable
from harness.measurement import Correlation
from harness.tasks.base import Evaluation

# Of every one-sided test here; a model that is any good is far from it.
ALPHA = 0.05


def require_above_classes(evaluation: Evaluation, hits: np.ndarray[Any, Any], k: int) -> None:
    """Hold the float model's hits to those of one that always answers the `k` most frequent classes.

    Args:
        evaluation: for its targets and units.
        hits: whether the float model is right, shape (samples,).
        k: how many answers a model has.

    Raises:
        Unmeasurable: the exact binomial test does not prove the model better.
    """
    classes, counts = np.unique(evaluation.targets, return_counts=True)
    if len(classes) <= k:
        raise Unmeasurable(
            f"the evaluation samples are all of {_classes(len(classes))}: a model that always answers "
            f"{'it' if k == 1 else f'the same {k}'} is right, so being right means nothing"
        )
    chance = float(np.sort(counts)[-k:].sum() / counts.sum())
    always = "the most frequent class" if k == 1 else f"the {k} most frequent classes"
    _require(evaluation, hits, chance, f"always answering {always} gives {chance:.4f}")


def require_informed(evaluation: Evaluation) -> None:
    """Hold the float model's first answers to those of one that answers as often, and without looking.

    The chance agreement of J. Cohen, "A coefficient of agreement for nominal scales", 1960: however uneven the classes
    are, a model that finds some of a rare one is above it.

    Raises:
        Unmeasurable: the exact binomial test does not prove the model better.
    """
    named, targets = evaluation.reference["ranked"][:, 0], evaluation.targets
    classes = np.union1d(named, targets)
    chance = float(sum((named == one).mean() * (targets == one).mean() for one in classes))
    _require(
        evaluation, named == targets, chance,
        f"answering as often the same classes without looking gives {chance:.4f}",
    )  # fmt: skip


def require_above_frequencies(
    tokens: np.ndarray[Any, Any], nll: np.ndarray[Any, Any], scored: np.ndarray[Any, Any]
) -> None:
    """Hold the float language model to one that knows how often each token of these very texts stands in them.

    Args:
        tokens: of the windows, shape (windows, width), below 0 where none is scored.
        nll: the float model's sum of -log P(token) over the scored tokens of each window, in nats, shape (windows,).
        scored: how many tokens of each window are scored, shape (windows,).

    Raises:
        Unmeasurable: the float model's perplexity is not below that one's.
    """
    shares = np.unique(tokens[tokens >= 0], return_counts=True)[1] / (tokens >= 0).sum()
    known = math.exp(-float((shares * np.log(shares)).sum()))
    mean = float(nll.sum() / scored.sum())
    if len(shares) > 1 and mean >= math.log(known):
        raise Unmeasurable(
            f"the float model's perplexity on these texts is e^{mean:.2f}, and knowing no more than how often each of "
            f"their tokens occurs gives {known:.1f}: was it loaded with its own tokenizer, and was it trained on such "
            "texts?"
        )


def require_following(measured: Correlation) -> None:
    """Hold the float model's similarities to those of one that knows nothing of the true ones.

    Raises:
        Unmeasurable: its coefficient is not proven above zero by a one-sided bound at 95 %, or there are too few
            samples for a bound.
    """
    try:
        lower = measured.of_reference(1 - ALPHA).lower
    except ValueError:
        # Without one of the samples there is nothing left to correlate.
        lower = -math.inf
    if not lower > 0:
        raise Unmeasurable(
            f"the float model's similarities do not follow the truth: its {measured.coefficient} over "
            f"{measured.extent} is {measured.reference:.4f}, and the {100 * (1 - ALPHA):g} % lower bound of that, "
            f"{lower:.4f}, is not above 0. What it never knew cannot be lost: was it loaded, and fed, as it was "
            "trained?"
        )


def _require(evaluation: Evaluation, hits: np.ndarray[Any, Any], chance: float, otherwise: str) -> None:
    _, owner = np.unique(evaluation.units, return_inverse=True)
    by_unit = np.bincount(owner, hits) / np.bincount(owner)
    n = len(by_unit)
    # A whole number of hits is what the test takes; a part of one is not counted.
    right = math.floor(by_unit.sum() + 1e-9)
    # The chance of at least so many hits out of n.
    if bdtrc(right - 1, n, chance) >= ALPHA:
        raise Unmeasurable(
            f"the float model is not proven better than chance: it is right on {hits.mean():.4f} of {n:,} "
            f"{'samples' if n == len(hits) else 'units'}, and {otherwise}. What it never knew cannot be lost: was it "
            "loaded, and fed, as it was trained?"
        )


def _classes(number_of: int) -> str:
    return "one class" if number_of == 1 else f"{number_of} classes"
