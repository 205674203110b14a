"""What a number of samples can prove at all: a claim finer than that would pass by luck, and is refused."""

from __future__ import annotations

from collections.abc import Iterator

from harness.metrics.base import SHARE, Metric
from harness.statistics import needed_n, smallest_limit

# Classes of nearly one size need no word.
WEIGHTY = 1.05
_CLAIMS = {"max_drop": "a drop below", "max_rise": "a rise below", "min_ratio": "a ratio above"}


def unprovable(metric: Metric, confidence: float, n: int, swing: float = 1.0) -> Iterator[tuple[str, str]]:
    """The bounds of a budget that `n` independent samples cannot prove, even with none lost.

    Only of a share is known beforehand how far one sample can move it.

    Args:
        metric: the budget.
        confidence: of each one-sided bound.
        n: sampling units of the evaluation split.
        swing: how far one of them moves the figure, as a multiple of its share of all: `Metric.swing`, where the
            targets are known.

    Yields:
        The bound's name, and the sentence that says how many samples it would take.
    """
    finest = smallest_limit(n, confidence) * swing
    for name, limit in metric.bounds().items():
        room = _room(metric, name, limit)
        if room is None or room >= finest:
            continue
        claim = f"{_CLAIMS.get(name, f'that {metric.metric} keeps its {name},')} {limit:g}"
        if room <= 0:
            yield name, f"no number of samples proves {claim}: leave room for those that were not seen"
            continue
        edge = limit + (finest - room) * (-1 if name.startswith("min") else 1)
        yield (
            name,
            f"{n:,} independent evaluation samples cannot prove {claim} even with none lost (the finest limit is "
            f"{edge:.4f}); it takes {needed_n(room / swing, confidence):,}"
            + (
                f", for a sample of the rarest class weighs {swing:.1f} times as much as of even classes"
                if swing > WEIGHTY
                else ""
            ),
        )


def needs_samples(metric: Metric) -> bool:
    """Whether any bound of a budget is a claim about samples that were not seen."""
    return any(_room(metric, name, limit) is not None for name, limit in metric.bounds().items())


def _room(metric: Metric, name: str, limit: float) -> float | None:
    """How much worse than perfect a share may be under a bound; None for other bounds and other figures."""
    if not metric.needs_data or metric.span != SHARE:
        return None
    if name in ("max_drop", "max_rise"):
        return limit
    # The best case of a ratio is a float model without fault.
    if name == "min_ratio" and metric.better == "higher":
        return 1 - limit
    if metric.relative and name == ("min" if metric.better == "higher" else "max"):
        return 1 - limit if name == "min" else limit
    return None
