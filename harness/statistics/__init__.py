"""Intervals, tests and sequential stopping: pure numpy and scipy, no part of the program above it."""

from harness.statistics.interval import Interval
from harness.statistics.proportion import proportion_difference

__all__ = ["Interval", "proportion_difference"]
