"""Intervals, tests and sequential stopping: pure numpy and scipy, no part of the program above it."""

from harness.statistics.holm import holm_confidence
from harness.statistics.interval import FloatArray, IntArray, Interval
from harness.statistics.kernel_distance import ImageSet, distance_rise, kernel, mean_kernel
from harness.statistics.latency import median_ratio
from harness.statistics.mean import mean_difference, mean_ratio, total_difference
from harness.statistics.proportion import proportion_difference, proportion_ratio
from harness.statistics.sample_size import needed_n, smallest_limit
from harness.statistics.sequential import Looks
from harness.statistics.set_statistic import statistic_difference

__all__ = [
    "FloatArray",
    "ImageSet",
    "IntArray",
    "Interval",
    "Looks",
    "distance_rise",
    "holm_confidence",
    "kernel",
    "mean_difference",
    "mean_kernel",
    "mean_ratio",
    "median_ratio",
    "needed_n",
    "proportion_difference",
    "proportion_ratio",
    "smallest_limit",
    "statistic_difference",
    "total_difference",
]
