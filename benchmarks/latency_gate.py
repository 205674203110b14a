"""How often the latency verdict is wrong: the gate's own sampler and judge, many times over, on work of known ratio.

    python benchmarks/latency_gate.py [--quick] [--cells idle busy2] [--gates 200] [--json FILE] [--markdown]

Synthetic work repeats one operation 10 and 6 times, so its ratio is 0.6; real models come from the shipped specs. The
truth of a cell is a long run under the cell's own load, in pieces between its gates: a host with other guests moves it
by more than 7 % in an hour. Each pair of limits is set so that the median of the five pieces before lies 7 % below it
(the verdict must be PASS) or 7 % above it (FAIL); INCONCLUSIVE is no wrong verdict. Idle gates wait until these five
agree within 3.5 %, and those are left out after which a sixth is farther from them: on which side of the truth they
were nobody knows. What they said is counted beside the rates all the same. The gate's own code takes times
again that only others kept undecided, or that broke the limit; beside busy neighbours, who stay, and ignore the lock,
only what broke it.

Beside it stands what a stored run of pytest-benchmark says, which times the compressed model alone and compares the
least (`min:5%`) or the mean (`mean:5%`) of at least 5 rounds in 1 s with a run that was stored before the neighbours
came: the share of its answers that are wrong, for an unchanged model, and for one that is 7 % slower than the stored.

`--json FILE` is read first and written after every cell, and every pair of gates is added to FILE.gates, so that a run
that was stopped goes on where it was, and one that is complete is shown again; cells of fewer gates than are asked for
now are gone on with. Only what this code has run on such a machine, in the same way, counts: a quick run's gates are
none of a full one's. All other cells and gates stay in FILE as they are, and `--markdown` prints them apart.

Exits 1 where a cell misses a claim: 99 % right on the idle machine, at most 1 % wrong anywhere, 10 s to a verdict. A
cell of 200 gates is held to these shares themselves. Fewer gates, as those of `--quick`, can tell only of gross errors:
one of three is a third of them. There a rate that misses its claim is printed, and exits 1 only where so many gates
have a chance below 1 % if the claim is kept (two of three that are not right, or are wrong; three of twenty).
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from latency import kept
from latency.cell import Asked, Cell, Idle, cells
from latency.claims import WHOLE, missed, undecided
from latency.log import Log
from latency.stored import stored_run
from latency.table import HEADERS, markdown, plain, row, targets
from latency.truth import truth
from latency.work import NEIGHBOURS, QUICK, SYNTHETIC, WORKLOADS, one_thread, real, synthetic

from harness.commands.destination import writable


def asked_for(options: argparse.Namespace) -> Asked:
    """How many gates a cell, and how they are run."""
    if options.quick:
        return Asked(options.gates or 3, 1.0, 2, 1.5, pauses=None, steady=False)
    return Asked(options.gates or WHOLE, 20.0, 20)


def grid(options: argparse.Namespace, asked: Asked, stored: list[Cell]) -> Iterator[Cell]:
    """Every cell that is asked for: as it is stored, or else run, and put into FILE with all that is there."""
    found = [cell for cell in stored if kept.own(cell, asked) and cell.gates >= asked.gates]
    chosen = [name for name in (QUICK if options.quick else WORKLOADS)
              if not options.work or any(word in name for word in options.work)]  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        for workload in chosen:
            loads = [load for load in options.cells if not options.quick or load in QUICK[workload]]
            there = [cell for cell in found if cell.workload == workload and cell.load in loads]
            yield from there
            wanted = [load for load in loads if load not in {cell.load for cell in there}]
            if not wanted:
                continue
            work = (
                synthetic(workload) if workload in SYNTHETIC else real(workload, options.artifacts or Path(temporary))
            )
            gc.collect()
            idle = Idle(truth(work[0], work[1], asked.truth_seconds), stored_run(work[1]))
            for load in wanted:
                new = cells(workload, load, work, asked, idle, Log.beside(options.json))
                stored = kept.joined(stored, new)
                kept.write(options.json, stored)
                yield from new


def shown_as_markdown(stored: list[Cell], asked: Asked) -> str:
    """This run's own cells, and below them those of every other code, machine and way, each under what it is of."""
    own, others = [cell for cell in stored if kept.own(cell, asked)], kept.others(stored, asked)
    tables = [markdown(own)] if own or not others else []
    return "\n\n".join([*tables, *(f"Of another run, {name}:\n\n{markdown(some)}" for name, some in others.items())])


def destination(parser: argparse.ArgumentParser, path: Path) -> None:
    """End with the reason where FILE or FILE.gates cannot be written; their folder is made."""
    try:
        for one in filter(None, (path, Log.beside(path).path)):
            writable(str(one))
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument --json: {error}")


def main() -> int:
    """Run what is asked for, print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true",
        help="two workloads, few gates of one take, about a minute: exits 1 only for what so few can show",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="the cells; read first, so that a run goes on")
    parser.add_argument("--markdown", action="store_true", help="print the cells of --json as Markdown, run nothing")
    parser.add_argument("--cells", nargs="+", default=list(NEIGHBOURS), choices=list(NEIGHBOURS), help="loads to run")
    parser.add_argument(
        "--work", nargs="+", metavar="WORD", help=f"workloads with such a word in: {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--gates", type=int, help=f"gates a cell (default {WHOLE}; quick: 3)")
    parser.add_argument("--artifacts", type=Path, help="keep the compressed models there")
    options = parser.parse_args()
    if options.json and not options.markdown:
        destination(parser, options.json)
    one_thread()
    asked, stored = asked_for(options), kept.read(options.json)
    if options.markdown:
        print(shown_as_markdown(stored, asked))
        return 0
    print(plain(HEADERS))
    started, found = time.perf_counter(), list[Cell]()
    for cell in grid(options, asked, stored):
        print(plain(row(cell)), flush=True)
        found.append(cell)
    if not found:
        parser.error("no cell is both of these workloads and of these loads")
    for said in targets(found):
        print(said)
    print(f"{len(found)} cells; this run took {time.perf_counter() - started:.0f} s")
    if others := sum(map(len, kept.others(stored, asked).values())):
        print(f"{options.json} keeps {others} cells of other code, machines or ways, which --markdown prints apart")
    broken = missed(found)
    for said in (*undecided(found), *broken):
        print(said)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
