"""Figures as sentences show them. What is compared is never what is shown here."""

from __future__ import annotations

import math
from collections.abc import Callable


def number(value: float) -> str:
    """Four decimals below one, four significant digits above, and as many decimals as a small figure needs."""
    if value == 0:
        return "0"
    size = abs(value)
    if not math.isfinite(value) or size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{3 - math.floor(math.log10(size))}f}"
    if size >= 1e-3:
        return f"{value:.4f}"
    return f"{value:.5f}" if size >= 1e-4 else f"{value:.1e}"


def measured_text(value: float) -> str:
    """A time or a rate: three significant digits, for no clock and no machine repeats a fourth."""
    if value == 0 or not math.isfinite(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def ratio_text(value: float) -> str:
    """Three decimals, or three significant digits past ten."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def apart(edge: float, limit: float, shown: Callable[[float], str] = number) -> str:
    """By how much two figures differ, as a parenthesis, where they look the same when they are shown."""
    if edge == limit or shown(edge) != shown(limit) or not math.isfinite(edge):
        return ""
    return f" ({'over' if edge > limit else 'under'} by {abs(edge - limit):.1e})"


def about(count: float) -> str:
    """A number of samples, rounded to two digits: it is a forecast."""
    digits = max(0, math.floor(math.log10(count)) - 1)
    return f"{math.ceil(count / 10**digits) * 10**digits:,}"


def percent(share: float) -> str:
    """A confidence, as in ``95 %``."""
    return f"{100 * share:g} %"
