"""How often the accuracy verdicts are wrong, and how often they are of use.

    python benchmarks/accuracy_gate.py [--quick] [--json FILE [--resume]] [--sets N] [--kinds proportion ratio mean …]
        [--sizes N …] [--figures WORD …] [--limits LIMIT …] [--discordances SHARE …]

A verdict passes when the upper bound of the drop is below the limit. Each cell puts the true drop at the limit and
gives the share of samples that pass all the same (`false_pass_rate`), then puts it at zero and gives the share that
pass (`power`). Proportions and ratios are summed over the trinomial sample space: no simulation, no simulation error.
The others are simulated, some with fewer sets than are asked for (`accuracy/units.py`). Beside them stands what most
gates do: the paired percentile bootstrap (`peer`). Cells that the gate refuses before it measures are listed as
refused, and those that this command leaves out as not run, with the reason (`not_run`); neither has rates.

`--resume` goes on from the cells of FILE that this code has worked out with as many sets. All others stay in FILE as
they are, and are not shown; `code` tells of which code a cell is.

Exits 1 where a rate of false passes, of false FAILs, or of any among several budgets is above what its method claims by
more than three standard errors, or where power is more than three points below the best exact test's; 2 where nothing
was measured. Every row that runs by default is held to that. Those of `--kinds beyond` are known to lie beyond the
method, which claims nothing there: they show how far, and run only when they are asked for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from accuracy.cell import ALPHA, FULL, POWER_GAP, QUICK, SIZES, Asked, Cell, Plan
from accuracy.kept import Kept, read
from accuracy.kinds import DEFAULT, KINDS
from accuracy.proportions import DISCORDANCES, LIMITS

from harness.commands.destination import writable


def missed(cell: Cell) -> Iterable[str]:
    """Every claim that a cell does not keep, by more than three standard errors where it was simulated."""
    if not KINDS[cell.kind].claims:
        return
    error = 3 * (ALPHA * (1 - ALPHA) / cell.sets) ** 0.5 if cell.sets else 0.0
    for name in ("false_pass_rate", "worst", "false_fail_rate"):
        rate = getattr(cell, name)
        if rate is not None and rate > ALPHA + error:
            yield f"{name} {rate:.4f}, and at most {ALPHA:.3f} is claimed"
    if cell.best_power is not None and cell.power is not None and cell.best_power - cell.power > POWER_GAP:
        yield f"power {cell.power:.4f}, and {cell.best_power:.4f} can be had"


def row(cell: Cell) -> str:
    """A cell as the table's row."""

    def text(value: float | None) -> str:
        return "      –" if value is None else f"{value:7.4f}"

    head = f"{cell.figure:58s} {cell.n:5d} {cell.discordance:6.2f} {cell.limit:7.4f}"
    if cell.refused:
        return f"{head}   refused: {cell.n} samples cannot prove it"
    if cell.not_run is not None:
        return f"{head}   not run: {cell.not_run}"
    figures = (
        cell.false_pass_rate, cell.worst, cell.false_fail_rate, cell.power, cell.best_power, cell.peer, cell.peer_power,
    )  # fmt: skip
    others = [
        f"{name} {text(cell.others.get(name)).strip()}/{text(power).strip()}"
        for name, power in cell.others_power.items()
    ]
    return " ".join([head, *map(text, figures), " ", ", ".join(others)]).rstrip()


def summary(cells: list[Cell]) -> Iterable[str]:
    """What the table comes to."""
    for kind in DEFAULT:
        own = [cell for cell in cells if cell.kind == kind and cell.false_pass_rate is not None]
        rates, peers = [cell.false_pass_rate or 0.0 for cell in own], [cell.peer for cell in own if cell.peer]
        if rates:
            beside = f"; percentile bootstrap: {max(peers):.4f}" if peers else ""
            yield f"largest false-pass rate, {kind}, {len(rates)} cells: {max(rates):.4f}{beside}"
    gaps = [cell.best_power - cell.power for cell in cells if cell.best_power is not None and cell.power is not None]
    if gaps:
        yield f"largest gap to the best exact test's power: {100 * max(gaps):.1f} points"
    several = [cell for cell in cells if cell.kind == "family" and cell.false_fail_rate is not None]
    if several:
        worst = max(cell.false_fail_rate or 0.0 for cell in several)
        plain = max(cell.peer or 0.0 for cell in several)
        yield f"largest chance of any wrong FAIL: {worst:.4f}; without Holm: {plain:.4f}"
    for cell in cells:
        if not KINDS[cell.kind].claims and cell.false_pass_rate is not None:
            yield f"beyond the method: {cell.figure}, n = {cell.n}: {cell.false_pass_rate:.4f}"


def worked_out(plan: Plan, sets: int) -> Cell:
    """A cell, as far as there is anything to work out, and by what it was."""
    cell = plan.blank if plan.blank.left_out else plan.measure()
    simulated = not (cell.exact or cell.left_out)
    return replace(cell, code=KINDS[cell.kind].digest, asked=sets if simulated else None)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a reduced grid, about a minute")
    parser.add_argument(
        "--json", type=writable, metavar="FILE", help="write the cells as a list of objects, as they come"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the cells of this code in FILE")
    parser.add_argument("--sets", type=int, help=f"simulated sets a cell (default {FULL}; quick: {QUICK})")
    parser.add_argument("--kinds", nargs="+", default=DEFAULT, choices=list(KINDS), help="all but beyond by default")
    parser.add_argument("--figures", nargs="+", metavar="WORD", help="figures with such a word in (default all)")
    parser.add_argument("--sizes", nargs="+", type=int, help=f"sampling units (default {SIZES}; quick: {SIZES[:2]})")
    parser.add_argument("--limits", nargs="+", type=float, help=f"of proportions (default {LIMITS})")
    parser.add_argument("--discordances", nargs="+", type=float, help=f"of proportions (default {DISCORDANCES})")
    options = parser.parse_args()
    asked = Asked(
        tuple(options.sizes or (SIZES[:2] if options.quick else SIZES)),
        options.sets or (QUICK if options.quick else FULL),
        tuple(options.limits or LIMITS),
        tuple(options.discordances or DISCORDANCES),
    )
    path: Path | None = options.json
    kept = read(path, asked.sets) if options.resume else Kept(path)
    print(
        f"{'figure':58s} {'n':>5s} {'discor':>6s} {'limit':>7s}   false   worst falfail   power    best    peer pe.powr"
        "   others: false/power",
        flush=True,
    )
    start = time.perf_counter()
    shown: list[Cell] = []
    for kind in options.kinds:
        for plan in KINDS[kind].plans(asked):
            if options.figures and not any(word in plan.blank.figure for word in options.figures):
                continue
            cell = kept.found(plan.blank) or worked_out(plan, asked.sets)
            kept.add(cell)
            shown.append(cell)
            print(row(cell), flush=True)
    for line in summary(shown):
        print(line)
    refused, not_run = sum(cell.refused for cell in shown), sum(cell.not_run is not None for cell in shown)
    seconds = time.perf_counter() - start
    print(f"{len(shown)} cells in {seconds:.0f} s, {refused} of them refused and {not_run} not run")
    broken = [f"{cell.figure}, n = {cell.n}, limit {cell.limit:g}: {claim}" for cell in shown for claim in missed(cell)]
    for claim in broken:
        print(f"not kept: {claim}")
    if len(shown) == refused + not_run:
        print("nothing was measured")
        return 2
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
