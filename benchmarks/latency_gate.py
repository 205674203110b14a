"""How often the latency verdict is wrong: the gate's own sampler and judge, many times over, on work of known ratio.

    python benchmarks/latency_gate.py [--quick] [--cells idle busy2] [--gates 200] [--json FILE] [--markdown]

Synthetic work repeats one operation 10 and 6 times, so its ratio is 0.6; real models come from the shipped specs. The
truth of a cell is a long run under the cell's own load, in pieces between its gates: a host with other guests moves it
by more than 7 % in an hour. Each pair of limits is set so that the median of the five pieces before lies 7 % below it
(the verdict must be PASS) or 7 % above it (FAIL); INCONCLUSIVE is no wrong verdict. Idle gates wait until these five
agree within 3.5 %, and those are left out after which a sixth is farther from them: on which side of the truth they
were nobody knows. The gate's own code takes times
again that only others kept undecided, or that broke the limit; beside busy neighbours, who stay, and ignore the lock,
only what broke it.

Beside it stands what a stored run of pytest-benchmark says, which times the compressed model alone and compares the
least (`min:5%`) or the mean (`mean:5%`) of at least 5 rounds in 1 s with a run that was stored before the neighbours
came: the share of its answers that are wrong, for an unchanged model, and for one that is 7 % slower than the stored.

`--json FILE` is read first and written after every cell, and every pair of gates is added to FILE.gates, so that a run
that was stopped goes on where it was; cells of fewer gates than are asked for now are gone on with, from the pairs that
this code has run on such a machine. Exits 1 where a cell misses a claim: 99 % right on the idle machine, at
most 1 % wrong anywhere, 10 s to a verdict.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from latency.cell import Asked, Cell, Idle, cells
from latency.log import Log
from latency.stored import stored_run
from latency.table import HEADERS, markdown, missed, plain, row, targets
from latency.truth import truth
from latency.work import NEIGHBOURS, QUICK, SYNTHETIC, WORKLOADS, one_thread, real, synthetic


def read(path: Path | None, gates: int) -> list[Cell]:
    """Cells of an earlier run that have so many gates."""
    cells = [Cell(**one) for one in json.loads(path.read_text())] if path is not None and path.exists() else []
    return [cell for cell in cells if cell.gates >= gates]


def main() -> int:
    """Run what is asked for, print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two workloads, few gates of one take: about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the cells; read first, so that a run goes on")
    parser.add_argument("--markdown", action="store_true", help="print the cells of --json as Markdown, run nothing")
    parser.add_argument("--cells", nargs="+", default=list(NEIGHBOURS), choices=list(NEIGHBOURS), help="loads to run")
    parser.add_argument(
        "--work", nargs="+", metavar="WORD", help=f"workloads with such a word in: {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--gates", type=int, help="gates a cell (default 200; quick: 3)")
    parser.add_argument("--artifacts", type=Path, help="keep the compressed models there")
    options = parser.parse_args()
    one_thread()
    quick, full = (
        Asked(options.gates or 3, 1.0, 2, 1.5, pauses=None, steady=False),
        Asked(options.gates or 200, 20.0, 20),
    )
    asked = quick if options.quick else full
    found = read(options.json, 0 if options.markdown else asked.gates)
    if options.markdown:
        print(markdown(found))
        return 0
    chosen = [name for name in (QUICK if options.quick else WORKLOADS)
              if not options.work or any(word in name for word in options.work)]  # fmt: skip
    log = Log(options.json and options.json.with_name(f"{options.json.name}.gates"))
    print(plain(HEADERS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        for workload in chosen:
            loads = [load for load in options.cells if not options.quick or load in QUICK[workload]]
            wanted = [load for load in loads if (workload, load) not in {cell.key for cell in found}]
            if not wanted:
                continue
            work = (
                synthetic(workload) if workload in SYNTHETIC else real(workload, options.artifacts or Path(temporary))
            )
            gc.collect()
            idle = Idle(truth(work[0], work[1], asked.truth_seconds), stored_run(work[1]))
            for load in wanted:
                new = cells(workload, load, work, asked, idle, log)
                for cell in new:
                    print(plain(row(cell)), flush=True)
                found += new
                if options.json:
                    options.json.write_text(json.dumps([asdict(cell) for cell in found], indent=1) + "\n")
    if not found:
        parser.error("no cell is both of these workloads and of these loads")
    for said in targets(found):
        print(said)
    print(f"{len(found)} cells; this run took {time.perf_counter() - started:.0f} s")
    broken = missed(found)
    for said in broken:
        print(said)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
