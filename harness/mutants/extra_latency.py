"""The compressed model's calls made longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Literal

from harness.mutants.arithmetic import timed
from harness.mutants.base import MUTANTS, Claim, Green, Mutant, Reach
from harness.run.result import Result


class ExtraLatency(Mutant):
    """Every timed call of the compressed model is followed by busy waiting for a share of the time that it took."""

    extra: ClassVar[float]
    reach: ClassVar[tuple[Reach, ...]] = ("times",)

    def call(self, call: Callable[[], object]) -> Callable[[], object]:
        """The call and the wait, both under the sampler's clock. Sleeping would be far too coarse for a short call."""
        clock, extra = time.perf_counter_ns, self.extra

        def slower() -> object:
            start = clock()
            answer = call()
            now = clock()
            end = now + extra * (now - start)
            while clock() < end:
                pass
            return answer

        return slower

    def claim(self, green: Green, mutated: Result) -> Claim:
        """A time claims it where its limit or its baseline's tolerance is nearer than that, by more than noise."""
        return timed(green, self.extra)


@MUTANTS.register
class Latency1(ExtraLatency):
    """One percent."""

    mutant: Literal["latency-1"] = "latency-1"
    extra: ClassVar[float] = 0.01
    what: ClassVar[str] = "every timed call of the compressed model 1 % longer"


@MUTANTS.register
class Latency3(ExtraLatency):
    """Three percent."""

    mutant: Literal["latency-3"] = "latency-3"
    extra: ClassVar[float] = 0.03
    what: ClassVar[str] = "every timed call of the compressed model 3 % longer"


@MUTANTS.register
class Latency10(ExtraLatency):
    """Ten percent."""

    mutant: Literal["latency-10"] = "latency-10"
    extra: ClassVar[float] = 0.10
    what: ClassVar[str] = "every timed call of the compressed model 10 % longer"
