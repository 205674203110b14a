"""How often the latency verdict is wrong: the gate's own sampler and judge, many times over, on work of known ratio.

    python benchmarks/latency_gate.py [--quick] [--cells idle busy2] [--gates 200] [--json FILE] [--markdown]

Synthetic work repeats one operation 10 and 6 times, so its ratio is 0.6; real models come from the shipped specs. The
truth of a cell is a long run under the cell's own load. A limit is then set so that the truth lies 7 % below it (the
verdict must be PASS) or 7 % above it (FAIL); INCONCLUSIVE is no wrong verdict. Busy neighbours ignore the lock.

Beside it stands what a stored run of pytest-benchmark says, which times the compressed model alone and compares the
least (`min:5%`) or the mean (`mean:5%`) of at least 5 rounds in 1 s with a run that was stored before the neighbours
came: the share of its answers that are wrong, for an unchanged model, and for one that is 7 % slower than the stored.

`--json FILE` is read first and written after every cell, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.errors import Unmeasurable
from harness.judge.bounds import judge
from harness.judge.verdict import State, overall
from harness.measurement.doubts import load_bias
from harness.metrics.latency_ms import LatencyMs
from harness.run.timing import sample
from harness.spec.schema import Measure

ROOT = Path(__file__).parent.parent
Call = Callable[[], object]
MARGIN = 0.07
# Undisturbed calls of each side that a truth is made of, at least.
ENOUGH = 100
MEASURE = Measure()
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# What a stored run of pytest-benchmark does unless it is told otherwise.
PEER_SECONDS, PEER_ROUNDS, PEER_ALARM = 1.0, 5, 1.05
NEIGHBOURS = {
    "idle": (),
    "busy1": ("multiply",),
    "busy2": ("multiply", "copy"),
}
WORK = {
    "multiply": "import numpy as np\na = np.random.rand(256, 256)\nwhile True: a @ a",
    "copy": "import numpy as np\na, b = np.zeros(4_000_000), np.ones(4_000_000)\nwhile True: a[:] = b",
}
REAL = {
    "resnet20 int8, torch": ("resnet20-digits-int8", ""),
    "resnet20 int8, openvino": ("resnet20-digits-openvino", "int8"),
    "lenet5 int8, torch": ("lenet5-mnist-int8", ""),
    "resnet18 int8, torch": ("resnet18-digits-int8", ""),
}
SYNTHETIC = ("numpy, 6 of 10", "torch, 6 of 10")
WORKLOADS = (
    "numpy, 6 of 10",
    "resnet20 int8, torch",
    "resnet20 int8, openvino",
    "torch, 6 of 10",
    "lenet5 int8, torch",
)
QUICK = ("numpy, 6 of 10", "resnet20 int8, torch")


@dataclass
class Cell:
    """One workload under one load with the limit on one side of the truth.

    Attributes:
        side: whether the truth lies ``below`` the limit (PASS is right) or ``above`` it (FAIL is right).
        truth, truth_idle: compressed ÷ float of a long run under this load, and without any.
        wrong_verdicts: share of gates that answered PASS above the limit, or FAIL below it.
        others: median share of processor time that others took, as the gate saw it.
        peer, peer_mean: share of wrong answers of a stored run, by the least and by the mean.
    """

    workload: str
    load: str
    side: str
    truth: float
    truth_idle: float
    limit: float
    gates: int
    pass_rate: float
    fail_rate: float
    inconclusive_rate: float
    invalid_rate: float
    wrong_verdicts: float
    median_seconds: float
    longest_seconds: float
    others: float
    peer: float
    peer_mean: float
    peer_runs: int

    @property
    def key(self) -> tuple[str, str]:
        """Both sides of it are run together."""
        return self.workload, self.load


# --- work ----------------------------------------------------------------------------------------------------------


def synthetic(name: str) -> tuple[Call, Call, Call]:
    """Float, compressed and control: the same operation 10, 6 and 10 times, about two milliseconds for ten."""
    if name.startswith("numpy"):
        left, right = np.random.default_rng(0).random((2, 160, 160))
        out = np.empty_like(left)

        def once() -> object:
            return np.matmul(left, right, out=out)

    else:
        import torch

        torch.set_num_threads(1)
        layer, inputs = torch.nn.Conv2d(16, 16, 3, padding=1), torch.zeros(1, 16, 32, 32)

        def once() -> object:
            with torch.inference_mode():
                return layer(inputs)

    def repeated(times: int) -> Call:
        def call() -> None:
            for _ in range(times):
                once()

        return call

    return repeated(10), repeated(6), repeated(10)


def real(name: str, folder: Path) -> tuple[Call, Call, Call]:
    """Float, compressed and control of a shipped spec, from artifacts as the gate writes and reloads them."""
    import torch

    from harness.run import probe
    from harness.run.compressing import ARTIFACT
    from harness.run.executor import LocalExecutor
    from harness.run.job import Job
    from harness.spec.load import load

    torch.set_num_threads(1)
    stem, case = REAL[name]
    file = load(ROOT / "specs" / "image-classification" / f"{stem}.yaml")
    spec = next(one.spec for one in file.cases if one.name == case)
    sides = {side: folder / f"{stem}{case}" / side for side in ("reference", "compressed")}
    if not (sides["compressed"] / ARTIFACT).exists():
        executor = LocalExecutor()
        job = Job(stage="compress", spec=spec, root=str(ROOT), **{side: str(path) for side, path in sides.items()})
        outcome = executor.run(job, lambda doing, seconds: None)
        executor.close()
        if outcome.failure is not None:
            raise SystemExit(f"{name}: {outcome.failure.sentence}")
    inputs = tuple(part[:1] for part in probe.read(sides["reference"])[0])
    runners = {side: spec.deploy.load(path / ARTIFACT, 1) for side, path in sides.items()}
    reference, compressed, control = (
        runners[side].prepared(inputs) for side in ("reference", "compressed", "reference")
    )
    return reference, compressed, control


@contextmanager
def neighbours(load: str) -> Iterator[None]:
    """Busy processes beside this one for the length of the block."""
    running = [subprocess.Popen([sys.executable, "-c", WORK[kind]]) for kind in NEIGHBOURS[load]]
    try:
        time.sleep(1.0 if running else 0.0)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


# --- what is compared ----------------------------------------------------------------------------------------------


def truth(reference: Call, compressed: Call, seconds: float) -> float:
    """Ratio of medians of a long run in alternating blocks of 12 ms, without readings that lost their processor."""
    times: tuple[list[int], list[int]] = ([], [])
    start, pair = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds or (min(map(len, times)) < ENOUGH and spent < 6 * seconds):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            block_ends = time.perf_counter_ns() + 12_000_000
            while True:
                before, begun = preemptions(), time.perf_counter_ns()
                (reference, compressed)[side]()
                ended = time.perf_counter_ns()
                if preemptions() == before:
                    times[side].append(ended - begun)
                if ended > block_ends:
                    break
        pair += 1
    if min(map(len, times)) < ENOUGH:
        raise SystemExit("no truth can be had: hardly a call ran to its end undisturbed")
    return statistics.median(times[1]) / statistics.median(times[0])


def preemptions() -> int:
    """How often this process lost its processor."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


def gate(work: tuple[Call, Call, Call], limit: float) -> tuple[State, float, float]:
    """The verdict of one budget, the seconds that it took and the load that it saw."""
    metric, start = LatencyMs(max_ratio=limit), time.perf_counter()
    try:
        timings = sample(
            work[0], work[1], metric.ratio_limits(), MEASURE, batch=1, rate=False, progress=lambda text: None,
            clock=time.perf_counter_ns, control=work[2],
        )  # fmt: skip
    except Unmeasurable:
        return State.INVALID, time.perf_counter() - start, 0.0
    state = overall(judge(metric, timings, MEASURE.confidence))
    return state, time.perf_counter() - start, timings.load


def stored_run(call: Call) -> tuple[float, float]:
    """Least and mean seconds of a run as pytest-benchmark takes it."""
    start = time.perf_counter()
    call()
    rounds = max(PEER_ROUNDS, int(PEER_SECONDS / (time.perf_counter() - start)))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times), statistics.fmean(times)


def peer_errors(stored: tuple[float, float], runs: Sequence[tuple[float, float]], side: str) -> tuple[float, float]:
    """Shares of wrong answers of the comparison with a stored run, by the least and by the mean.

    Below: the model is what was stored, and an alarm is wrong. Above: what was stored was 7 % faster, and silence is.
    """
    wrong = []
    for index in (0, 1):
        then = stored[index] / (1 + MARGIN) if side == "above" else stored[index]
        alarms = [run[index] > PEER_ALARM * then for run in runs]
        wrong.append(statistics.fmean(alarm is (side == "below") for alarm in alarms))
    return wrong[0], wrong[1]


def cells(workload: str, load: str, work: tuple[Call, Call, Call], asked: Asked, idle: Idle) -> list[Cell]:
    """Both sides of one workload under one load, their gates in turn."""
    with neighbours(load):
        true = idle.truth if load == "idle" else truth(work[0], work[1], asked.truth_seconds)
        limits = {"below": true / (1 - MARGIN), "above": true / (1 + MARGIN)}
        answers: dict[str, list[tuple[State, float, float]]] = {side: [] for side in limits}
        for _ in range(asked.gates):
            for side, limit in limits.items():
                answers[side].append(gate(work, limit))
        runs = [stored_run(work[1]) for _ in range(asked.peer_runs)]
    found = []
    for side, limit in limits.items():
        states = [state for state, _, _ in answers[side]]
        share = {state: states.count(state) / len(states) for state in State}
        seconds = [spent for _, spent, _ in answers[side]]
        peer = peer_errors(idle.stored, runs, side)
        found.append(
            Cell(
                workload=workload,
                load=load,
                side=side,
                truth=true,
                truth_idle=idle.truth,
                limit=limit,
                gates=len(states),
                pass_rate=share[State.PASS],
                fail_rate=share[State.FAIL],
                inconclusive_rate=share[State.INCONCLUSIVE],
                invalid_rate=share[State.INVALID],
                wrong_verdicts=share[State.FAIL if side == "below" else State.PASS],
                median_seconds=statistics.median(seconds),
                longest_seconds=max(seconds),
                others=statistics.median(took for _, _, took in answers[side]),
                peer=peer[0],
                peer_mean=peer[1],
                peer_runs=len(runs),
            )
        )
    return found


# --- the table -----------------------------------------------------------------------------------------------------

HEADERS = (
    "work",
    "load",
    "truth",
    "gates",
    "PASS",
    "FAIL",
    "INCONCLUSIVE",
    "wrong",
    "seconds",
    "stored min",
    "stored mean",
)


@dataclass(frozen=True)
class Asked:
    """How much of it."""

    gates: int
    truth_seconds: float
    peer_runs: int


@dataclass(frozen=True)
class Idle:
    """What a workload does while the machine is idle."""

    truth: float
    stored: tuple[float, float]


def row(cell: Cell) -> tuple[str, ...]:
    """A cell as texts."""
    return (
        cell.workload, cell.load, f"{cell.truth:.3f}, 7 % {cell.side} limit", str(cell.gates), f"{cell.pass_rate:.1%}",
        f"{cell.fail_rate:.1%}", f"{cell.inconclusive_rate + cell.invalid_rate:.1%}", f"{cell.wrong_verdicts:.1%}",
        f"{cell.median_seconds:.1f}", f"{cell.peer:.0%} of {cell.peer_runs}",
        f"{cell.peer_mean:.0%} of {cell.peer_runs}",
    )  # fmt: skip


def plain(cell: Sequence[str]) -> str:
    """One line of the table on a terminal."""
    widths = (24, 6, 26, 6, 7, 7, 13, 7, 8, 12, 12)
    return " ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()


def markdown(found: Sequence[Cell]) -> str:
    """The table as Markdown."""
    lines = [HEADERS, ("---",) * len(HEADERS), *map(row, found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets(found: Sequence[Cell]) -> list[str]:
    """What was to be reached, and whether it was."""
    idle = [cell for cell in found if cell.load == "idle"]
    sides = {"below": "pass_rate", "above": "fail_rate"}
    said = []
    for side, rate in sides.items():
        rates = [getattr(cell, rate) for cell in idle if cell.side == side]
        if rates:
            what = "PASS" if side == "below" else "FAIL"
            said.append(f"idle, 7 % {side} the limit: at least {min(rates):.1%} {what} (target 99 %)")
    said.append(f"wrong verdicts: at most {max(cell.wrong_verdicts for cell in found):.1%} in any cell (target 1 %)")
    busy = [cell for cell in found if cell.load != "idle"]
    if busy:
        moved = max(busy, key=lambda cell: abs(cell.truth / cell.truth_idle - 1) / max(load_bias(cell.others), 1e-9))
        said.append(
            f"load moved the ratio of {moved.workload} ({moved.load}) by {moved.truth / moved.truth_idle - 1:+.1%}, "
            f"most beside what is allowed for it: {load_bias(moved.others):.1%} where others took {moved.others:.0%}"
        )
    said.append(f"median time to a verdict: at most {max(cell.median_seconds for cell in found):.1f} s (target 10 s)")
    return said


def read(path: Path | None) -> list[Cell]:
    """Cells of an earlier run."""
    return [Cell(**one) for one in json.loads(path.read_text())] if path is not None and path.exists() else []


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two workloads, few gates: about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the cells; read first, so that a run goes on")
    parser.add_argument("--markdown", action="store_true", help="print the cells of --json as Markdown, run nothing")
    parser.add_argument("--cells", nargs="+", default=list(NEIGHBOURS), choices=list(NEIGHBOURS), help="loads to run")
    parser.add_argument(
        "--work", nargs="+", metavar="WORD", help=f"workloads with such a word in: {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--gates", type=int, help="gates a cell (default 200; quick: 6)")
    parser.add_argument("--artifacts", type=Path, help="keep the compressed models there")
    options = parser.parse_args()
    if any(os.environ.get(name) != one for name, one in ONE_THREAD.items()):
        # Set before the libraries load, which they have.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    found = read(options.json)
    if options.markdown:
        print(markdown(found))
        return
    asked = Asked(options.gates or 6, 2.0, 3) if options.quick else Asked(options.gates or 200, 20.0, 20)
    chosen = [name for name in (QUICK if options.quick else WORKLOADS)
              if not options.work or any(word in name for word in options.work)]  # fmt: skip
    loads = [load for load in options.cells if load != "busy1"] if options.quick else options.cells
    print(plain(HEADERS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        for workload in chosen:
            wanted = [load for load in loads if (workload, load) not in {cell.key for cell in found}]
            if not wanted:
                continue
            work = (
                synthetic(workload) if workload in SYNTHETIC else real(workload, options.artifacts or Path(temporary))
            )
            gc.collect()
            idle = Idle(truth(work[0], work[1], asked.truth_seconds), stored_run(work[1]))
            for load in wanted:
                new = cells(workload, load, work, asked, idle)
                for cell in new:
                    print(plain(row(cell)), flush=True)
                found += new
                if options.json:
                    options.json.write_text(json.dumps([asdict(cell) for cell in found], indent=1) + "\n")
    for said in targets(found):
        print(said)
    print(f"{len(found)} cells; this run took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
