"""Totals over the tokens of each window, of both models: the mean over all tokens, or what it is the logarithm of."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from harness.measurement.base import COST_GAIN, MEASUREMENTS, UNIT, Array, Base, Sampled
from harness.statistics import Interval, total_difference


@MEASUREMENTS.register
class Totals(Sampled):
    """What both models got on the tokens of the same windows, added up by window.

    The figure is the mean over all tokens: a share of tokens, a divergence; or, where `exponential`, e to that mean,
    which makes a perplexity of negative log-likelihoods. Tokens of one window depend on each other, so what is sampled
    is the *unit* (a document, or several short ones), and a window counts by how many tokens it has.

    Attributes:
        totals_reference, totals: shape (windows,), sums over the scored tokens of each window.
        tokens: shape (windows,), how many tokens of each are scored.
        counted: whether each token is right or wrong, so that nothing lies beyond 0 and 1.
        exponential: whether the figure is e to the mean.
    """

    kind: Literal["totals"] = "totals"
    totals_reference: Array
    totals: Array
    tokens: Array
    counted: bool = False
    exponential: bool = False

    @property
    def value(self) -> float:
        """The compressed model's figure."""
        return self._figure(self.totals)

    @property
    def reference(self) -> float:
        """The float model's figure."""
        return self._figure(self.totals_reference)

    @property
    def share(self) -> bool:
        """Whether the figure is a share of tokens."""
        return self.counted

    @property
    def plausible(self) -> float | None:
        """Of a perplexity, half of the float model's."""
        return COST_GAIN * self.reference if self.exponential else super().plausible

    @property
    def extent(self) -> str:
        """Tokens, windows, and units where those are fewer."""
        units = "" if self.n == len(self.units) else f" of {self.n} units"
        return f"{int(self.tokens.sum()):,} tokens in {len(self.units)} windows{units}"

    @property
    def counted_in(self) -> str:
        """Units: windows have no other name."""
        return "units"

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Indices of windows on which the compressed model does worse, the most a token first."""
        return self._changed(1)

    @property
    def won(self) -> np.ndarray[Any, Any]:
        """Indices of windows on which the compressed model does better, the most a token first."""
        return self._changed(-1)

    def _changed(self, sign: int) -> np.ndarray[Any, Any]:
        # Of what is counted more is better, of likelihoods and divergences less.
        worse = sign * (self.totals_reference - self.totals) / self.tokens * (1 if self.counted else -1)
        found = np.flatnonzero(worse > 0)
        return found[np.argsort(-worse[found], kind="stable")]

    @property
    def columns(self) -> dict[str, np.ndarray[Any, Any]]:
        """Both models' totals, a line a window, beside its tokens: the sums of these make the figures."""
        return {
            UNIT: self.units,
            "tokens": self.tokens,
            "float_total": self.totals_reference,
            "compressed_total": self.totals,
        }

    def against(self, earlier: Base) -> Totals | None:
        """Both runs' totals of the same windows."""
        if not isinstance(earlier, Totals) or earlier.data != self.data or earlier.totals.shape != self.totals.shape:
            return None
        return self.model_copy(update={"totals_reference": earlier.totals})

    def ratio(self, confidence: float) -> Interval:
        """Compressed ÷ float. Of exponentials it is e to the difference of the means."""
        change, at = -self._change(confidence), self.reference
        if self.exponential:
            return Interval(
                math.exp(change.estimate), _exp(change.lower), _exp(change.upper), confidence, change.method
            )
        if not at > 0:
            return Interval(math.nan, math.nan, math.nan, confidence, change.method)
        return Interval(
            1 + change.estimate / at, 1 + change.lower / at, 1 + change.upper / at, confidence, change.method
        )

    def drop(self, confidence: float) -> Interval:
        """Float − compressed.

        Of exponentials the wider of two intervals: that of the ratio, which takes float's figure for known, and that of
        the difference of both figures as the windows move them, to first order (the delta method). Of equal windows the
        second knows less, and of a large difference the first.
        """
        if not self.exponential:
            return self._change(confidence)
        ratio, at = self.ratio(confidence), self.reference
        lower, upper = at * (1 - ratio.upper), at * (1 - ratio.lower)
        if math.isfinite(self.value + at):
            both = total_difference(
                self._linear(self.totals_reference), self._linear(self.totals), self.tokens, self.units, confidence
            )
            lower, upper = min(lower, both.lower), max(upper, both.upper)
        return Interval(at * (1 - ratio.estimate), lower, upper, confidence, ratio.method)

    def _linear(self, totals: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Totals whose mean over tokens is the figure, and which move it as these do, to first order."""
        mean = totals.sum(dtype=np.float64) / self.tokens.sum()
        linear: np.ndarray[Any, Any] = _exp(mean) * (totals + (1 - mean) * self.tokens)
        return linear

    def _figure(self, totals: np.ndarray[Any, Any]) -> float:
        mean = float(totals.sum(dtype=np.float64) / self.tokens.sum())
        return _exp(mean) if self.exponential else mean

    def _change(self, confidence: float) -> Interval:
        """The drop of the mean over tokens."""
        return total_difference(
            self.totals_reference, self.totals, self.tokens, self.units, confidence, reach=1.0 if self.counted else None
        )


def _exp(power: float) -> float:
    return math.exp(power) if power < 700 else math.inf
