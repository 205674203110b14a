"""The geometry of the report's two drawings; a template turns it into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.judge.figures import number, ratio_text
from harness.judge.verdict import Verdict
from harness.measurement import Blocks


@dataclass(frozen=True)
class Bar:
    """Where a figure and its interval lie with respect to the limit, on a line of length 1.

    Attributes:
        allowed: start and end of the stretch that the limit allows.
        limit: the limit.
        interval: start and end of the confidence interval.
        point: the figure itself.
        same: where "no different from float" lies; None where that is not on the line.
        caption: what is drawn, in words.
    """

    allowed: tuple[float, float]
    limit: float
    interval: tuple[float, float]
    point: float
    same: float | None
    caption: str


@dataclass(frozen=True)
class _Gauge:
    """A figure against one limit, in the figure's own unit."""

    what: str
    estimate: float
    lower: float
    upper: float
    limit: float
    floor: bool
    same: float | None

    @property
    def margin(self) -> float:
        """How far inside the limit the worse end of the interval lies; negative outside."""
        return self.lower - self.limit if self.floor else self.limit - self.upper


def bar(row: Verdict) -> Bar | None:
    """The drawing of one budget: of the bound with the smallest margin, or None where there is nothing to draw."""
    gauges = [gauge for gauge in _gauges(row) if all(map(math.isfinite, (gauge.lower, gauge.upper, gauge.estimate)))]
    if not gauges:
        return None
    gauge = min(gauges, key=lambda one: one.margin)
    shown = [gauge.estimate, gauge.lower, gauge.upper, gauge.limit, *([] if gauge.same is None else [gauge.same])]
    # Ratios and sizes start at nothing, so that lengths compare; above a floor, shares near 1 would look all the same.
    from_zero = gauge.what in ("ratio", "value") and not gauge.floor
    first, last = min(shown + [0.0] * from_zero), max(shown)
    pad = 0.08 * (last - first or 1.0)
    low, high = (first if from_zero and first == 0.0 else first - pad), last + pad

    def place(value: float) -> float:
        return (value - low) / (high - low)

    text = ratio_text if gauge.what == "ratio" else number
    wide = f", interval {text(gauge.lower)} to {text(gauge.upper)}" if gauge.lower < gauge.upper else ""
    return Bar(
        allowed=(place(gauge.limit), 1.0) if gauge.floor else (0.0, place(gauge.limit)),
        limit=place(gauge.limit),
        interval=(place(gauge.lower), place(gauge.upper)),
        point=place(gauge.estimate),
        same=None if gauge.same is None else place(gauge.same),
        caption=f"{gauge.what} {text(gauge.estimate)}{wide}; at {'least' if gauge.floor else 'most'} "
        f"{text(gauge.limit)} allowed",
    )


def _gauges(row: Verdict) -> list[_Gauge]:
    gauges: list[_Gauge] = []
    held = row.interval
    for name, limit in row.bound.items():
        floor = name.startswith("min")
        contrast = {"min": "value", "max": "value", "max_drop": "drop", "max_rise": "drop"}.get(name, "ratio")
        if name.startswith("reference_") or name == "regress":
            continue
        if held is not None and held.of == contrast:
            lower, estimate, upper = held.lower, held.estimate, held.upper
            if name == "max_rise":
                lower, estimate, upper = -upper, -estimate, -lower
            what = {"max_rise": "rise"}.get(name, contrast)
            same = {"ratio": 1.0, "value": None}.get(what, 0.0)
            gauges.append(_Gauge(what, estimate, lower, upper, limit, floor, same))
        elif contrast == "value" and row.value is not None:
            gauges.append(_Gauge("value", row.value, row.value, row.value, limit, floor, row.reference))
    return gauges


@dataclass(frozen=True)
class Strip:
    """Latency blocks in the order in which they ran.

    Attributes:
        width, height: of the drawing, in its own units; `left` and `bottom` are the margins of the axes inside it.
        reference, compressed: points of each block.
        control: points of the blocks in which float stood in for itself.
        medians: heights of the two medians, float first.
        ticks: heights and texts of the vertical axis, in milliseconds.
        caption: what is drawn, in words.
    """

    reference: tuple[tuple[float, float], ...]
    compressed: tuple[tuple[float, float], ...]
    medians: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]
    caption: str
    control: tuple[tuple[float, float], ...] = ()
    width: float = 440.0
    height: float = 170.0
    left: float = 44.0
    bottom: float = 24.0


def strip(blocks: Blocks) -> Strip | None:
    """The drawing of one latency budget; its axis starts at 0, so that heights compare."""
    sides = [np.asarray(blocks.reference), np.asarray(blocks.compressed)]
    if not sides[0].size or not all(np.isfinite(side).all() for side in sides):
        return None
    top = max([float(side.max()) for side in sides] + [*blocks.control]) * 1.08 or 1.0
    width, height, left, bottom = Strip.width, Strip.height, Strip.left, Strip.bottom

    def across(index: int, count: int) -> float:
        return round(left + (index + 0.5) / count * (width - left), 1)

    def up(value: float) -> float:
        return round((height - bottom) * (1 - value / top), 1)

    def points(side: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[tuple[float, float], ...]:
        return tuple((across(index, len(side)), up(float(value))) for index, value in enumerate(side))

    medians = [float(np.median(side)) for side in sides]
    control = np.asarray(blocks.control)
    others = f"; others took {blocks.load:.0%} of the processor meanwhile" if blocks.load >= 0.005 else ""
    if max(blocks.calls) > 1:
        others += f"; one reading of the clock spans {blocks.calls[0]} calls of float, {blocks.calls[1]} of compressed"
    return Strip(
        reference=points(sides[0]),
        compressed=points(sides[1]),
        control=points(control),
        medians=(up(medians[0]), up(medians[1])),
        ticks=tuple((up(value), f"{value:g}") for value in round_steps(top)),
        caption=f"{len(sides[0])} pairs of blocks at batch {blocks.batch}; median of the blocks: float "
        f"{number(medians[0])} ms, compressed {number(medians[1])} ms{others}",
    )


@dataclass(frozen=True)
class Ratios:
    """Compressed ÷ float of each pair of blocks, in the order in which they ran.

    Attributes:
        points: of each pair.
        median: height of the ratio of all.
        noise: heights between which a ratio is no different from it, by float against itself; None without a control.
        ticks: heights and texts of the vertical axis.
        caption: what is drawn, in words.
    """

    points: tuple[tuple[float, float], ...]
    median: float
    noise: tuple[float, float] | None
    ticks: tuple[tuple[float, str], ...]
    caption: str
    width: float = Strip.width
    height: float = 110.0
    left: float = Strip.left
    bottom: float = Strip.bottom


def ratios(blocks: Blocks) -> Ratios | None:
    """The drawing of the pairs' ratios; its axis starts at 0, so that heights compare."""
    values = np.asarray(blocks.ratios)
    if not values.size or not np.isfinite(values).all():
        return None
    width, height, left, bottom = Ratios.width, Ratios.height, Ratios.left, Ratios.bottom
    at, noise = float(np.median(values)), blocks.noise
    top = max(float(values.max()), at * (1 + (noise or 0.0))) * 1.08 or 1.0

    def up(value: float) -> float:
        return round((height - bottom) * (1 - value / top), 1)

    known = "" if noise is None else f"; float against float is known to {noise:.1%}"
    return Ratios(
        points=tuple(
            (round(left + (index + 0.5) / len(values) * (width - left), 1), up(float(value)))
            for index, value in enumerate(values)
        ),
        median=up(at),
        noise=None if noise is None else (up(at * (1 + noise)), up(at / (1 + noise))),
        ticks=tuple((up(value), f"{value:g}") for value in round_steps(top, most=3)),
        caption=f"compressed ÷ float of each pair, median {ratio_text(at)}, from {ratio_text(float(values.min()))} to "
        f"{ratio_text(float(values.max()))}{known}",
    )


def round_steps(top: float, most: int = 5) -> Sequence[float]:
    """Multiples of 1, 2 or 5 times a power of ten from 0 up to `top`, at most `most` of them beside 0."""
    power = 10.0 ** math.floor(math.log10(top / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= most)
    return [round(index * step, 12) for index in range(int(top / step) + 1)]
