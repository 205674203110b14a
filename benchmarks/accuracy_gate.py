"""How often the accuracy verdicts are wrong, and how often they are of use.

    python benchmarks/accuracy_gate.py [--quick] [--json FILE [--resume]] [--sets N] [--kinds proportion ratio mean …]
        [--figures WORD …]

A verdict passes when the upper bound of the drop is below the limit. Each cell puts the true drop at the limit and
gives the share of samples that pass all the same (`false_pass_rate`), then puts it at zero and gives the share that
pass (`power`). Proportions and ratios are summed over the trinomial sample space: no simulation, no simulation error.
The others are simulated, some with fewer sets than are asked for (`accuracy/units.py`). Beside them stands what most
gates do: the paired percentile bootstrap (`peer`). Ratios are worked out for n up to 100 alone: every number of pairs
that are right at all has outcomes of its own to decide. Cells that the gate refuses before it measures are listed as
refused. Exits 1 where a rate of false passes, of false FAILs, or of any among several budgets is above what its method
claims by more than three standard errors, or where power is more than three points below the best exact test's; cells
that are known to be beyond the method count for none of these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from accuracy.cell import ALPHA, POWER_GAP, SIZES, Cell, Plan
from accuracy.families import families
from accuracy.kid import kids
from accuracy.means import means
from accuracy.proportions import proportions
from accuracy.ratios import ratios
from accuracy.sets import set_statistics
from accuracy.units import units

KINDS = ("proportion", "ratio", "mean", "cluster", "token", "rise", "set", "detection", "correlation", "kid", "family")
FULL, QUICK = 10_000, 300


def plans(kind: str, sizes: tuple[int, ...], sets: int) -> Iterable[Plan]:
    """The cells of a kind."""
    if kind == "proportion":
        return proportions(sizes)
    if kind == "ratio":
        return ratios(tuple(n for n in sizes if n <= (100 if sets > QUICK else 20)))
    simulated = {"mean": means, "set": set_statistics, "kid": kids, "family": families}
    return simulated[kind](sizes, sets) if kind in simulated else units(kind, sizes, sets)


def missed(cell: Cell) -> Iterable[str]:
    """Every claim that a cell does not keep, by more than three standard errors where it was simulated."""
    if cell.beyond:
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
    for kind in KINDS:
        own = [cell for cell in cells if cell.kind == kind and cell.false_pass_rate is not None and not cell.beyond]
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


def known(path: Path | None, sets: int) -> dict[tuple[object, ...], Cell]:
    """The cells of an earlier run, but for those that were simulated with another number of sets."""
    if path is None or not path.is_file():
        return {}
    cells = [Cell(**each) for each in json.loads(path.read_text())]
    return {cell.key: cell for cell in cells if cell.asked in (None, sets)}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a reduced grid, about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the cells as a list of objects, as they come")
    parser.add_argument("--resume", action="store_true", help="keep the cells that FILE holds, and work out the others")
    parser.add_argument("--sets", type=int, help=f"simulated sets a cell (default {FULL}; quick: {QUICK})")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--figures", nargs="+", metavar="WORD", help="figures with such a word in (default all)")
    parser.add_argument("--sizes", nargs="+", type=int, help=f"sampling units (default {SIZES}; quick: {SIZES[:2]})")
    asked = parser.parse_args()
    sets = asked.sets or (QUICK if asked.quick else FULL)
    sizes = tuple(asked.sizes or (SIZES[:2] if asked.quick else SIZES))
    earlier = known(asked.json, sets) if asked.resume else {}
    print(
        f"{'figure':58s} {'n':>5s} {'discor':>6s} {'limit':>7s}   false   worst falfail   power    best    peer pe.powr"
        "   others: false/power",
        flush=True,
    )
    start, cells = time.perf_counter(), dict(earlier)
    shown = []
    for kind in asked.kinds:
        for plan in plans(kind, sizes, sets):
            blank = plan.blank
            if asked.figures and not any(word in blank.figure for word in asked.figures):
                continue
            cell = earlier.get(blank.key) or (blank if blank.refused else plan.measure())
            if not (cell.exact or cell.refused):
                cell = replace(cell, asked=sets)
            cells[cell.key] = cell
            shown.append(cell)
            print(row(cell), flush=True)
            if asked.json:
                asked.json.write_text(json.dumps([asdict(each) for each in cells.values()], indent=1) + "\n")
    for line in summary(shown):
        print(line)
    print(f"{len(shown)} cells in {time.perf_counter() - start:.0f} s")
    broken = [f"{cell.figure}, n = {cell.n}, limit {cell.limit:g}: {claim}" for cell in shown for claim in missed(cell)]
    for claim in broken:
        print(f"not kept: {claim}")
    for cell in shown:
        if cell.beyond:
            print(f"beyond the method: {cell.figure}, n = {cell.n}: {cell.false_pass_rate}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
