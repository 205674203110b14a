"""What load from outside does to a latency ratio, and whether the gate's doubt about it reaches as far.

    python benchmarks/load_bias.py [--runs 20] [--work resnet20 numpy] [--artifacts DIR] [--json FILE]

Wants a machine that is idle but for this. Each workload of latency_gate.py is timed for a long while alone, then by the
gate's own sampler beside one and two busy neighbours. The error of a run is its ratio ÷ the idle one, as a logarithm.
Printed: the errors and the reach of the gate's doubts from outside, how many errors lie beyond interval and reach
together, and which sign of load goes with the error.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from latency.gate import SPEC
from latency.truth import truth
from latency.work import NEIGHBOURS, SYNTHETIC, WORKLOADS, Work, neighbours, one_thread, real, synthetic

from harness.measurement import Timings, doubts
from harness.run.timing import sample

TRUTH_S = 15.0
# ResNet-18 is no millisecond work; it has more weights than a cache holds, so neighbours in memory slow it most.
WORK = (*WORKLOADS, "resnet18 int8, torch")
SIGNS = ("others", "waited", "disagreement", "slower", "noise")


@dataclass
class Run:
    """One run of the sampler beside neighbours.

    Attributes:
        error: logarithm of its ratio ÷ the ratio on the idle machine.
        reach: logarithm of how far off the gate takes the ratio to be for what came from outside.
        edge: logarithm of the interval's bound that faces the idle ratio, from the estimate.
        others, waited, disagreement, slower, noise: signs of load; `slower` is float's median ÷ its idle one, less 1.
    """

    workload: str
    load: str
    error: float
    reach: float
    edge: float
    others: float
    waited: float
    disagreement: float
    slower: float
    noise: float

    @property
    def uncovered(self) -> bool:
        """Whether the idle ratio lies outside of what the gate takes for possible."""
        return abs(self.error) > self.edge + self.reach


def measured(work: Work) -> Timings:
    """One run of the sampler to its first look."""
    return sample(
        work[0], work[1], lambda reference: (), SPEC.measure, batch=1, rate=False, progress=lambda text: None,
        clock=time.perf_counter_ns, control=work[2],
    )  # fmt: skip


def run(workload: str, load: str, work: Work, idle: float, alone: float) -> Run:
    """Time it once; `idle` is the ratio on the idle machine, `alone` float's milliseconds there."""
    timings = measured(work)
    ratio = timings.ratio(SPEC.measure.confidence)
    outside = [doubt.reach for doubt in doubts.found(timings, SPEC.measure.confidence) if doubt.whole]
    return Run(
        workload=workload, load=load, error=math.log(ratio.estimate / idle),
        reach=math.log1p(max(outside, default=0.0)),
        edge=math.log(ratio.upper / ratio.estimate), others=timings.load, waited=timings.waited,
        disagreement=doubts.disagreement(timings), slower=timings.reference / alone - 1,
        noise=doubts.noise_floor(timings, SPEC.measure.confidence),
    )  # fmt: skip


def table(runs: list[Run]) -> list[str]:
    """One line a workload and load, then the signs."""
    lines = [
        f"{'work':26}{'load':8}{'runs':>5}{'others':>8}{'median error':>14}{'largest':>9}{'reach':>8}{'uncovered':>11}"
    ]
    for key in dict.fromkeys((one.workload, one.load) for one in runs):
        own = [one for one in runs if (one.workload, one.load) == key]
        middle = [statistics.median(getattr(one, name) for one in own) for name in ("others", "error", "reach")]
        largest = max((one.error for one in own), key=abs)
        lines.append(
            f"{key[0]:26}{key[1]:8}{len(own):5d}{middle[0]:8.0%}{middle[1]:+14.1%}{largest:+9.1%}{middle[2]:8.1%}"
            f"{sum(one.uncovered for one in own):11d}"
        )
    busy = [one for one in runs if one.load != "idle"]
    if len(busy) > 2:
        errors = [abs(one.error) for one in busy]
        for name in SIGNS:
            signs = [getattr(one, name) for one in busy]
            told = float(np.corrcoef(signs, errors)[0, 1]) if min(signs) < max(signs) else math.nan
            lines.append(f"correlation of |error| with {name}: {told:.2f}")
    return lines


def main() -> None:
    """Run it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="runs a workload and load")
    parser.add_argument("--work", nargs="+", metavar="WORD", help=f"some of: {'; '.join(WORK)}")
    parser.add_argument("--artifacts", type=Path, help="keep the compressed models there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the runs there")
    options = parser.parse_args()
    one_thread()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as temporary:
        for workload in WORK:
            if options.work and not any(word in workload for word in options.work):
                continue
            folder = options.artifacts or Path(temporary)
            work = synthetic(workload) if workload in SYNTHETIC else real(workload, folder)
            idle, alone = truth(work[0], work[1], TRUTH_S), measured(work).reference
            for load in NEIGHBOURS:
                with neighbours(load):
                    runs += [run(workload, load, work, idle, alone) for _ in range(options.runs)]
            if options.json:
                options.json.write_text(json.dumps([asdict(one) for one in runs], indent=1) + "\n")
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
