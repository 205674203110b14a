"""`verdict`: judge paired outcomes from a file, by the same code as the gate judges its own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DataError, TableError

if TYPE_CHECKING:
    from harness.judge.verdict import Verdict
    from harness.measurement.table import Table

USAGE = 2
# Of the samples that changed, so many are named where a person reads; --json names all.
SHOWN = 20
# What `--pairs -` reads, as a file like any other.
STDIN = Path("/dev/stdin")
BOUNDS = {
    "max-drop": "float − compressed is proven below this (higher is better)",
    "max-rise": "compressed − float is proven below this (lower is better)",
    "min-ratio": "compressed ÷ float is proven above this",
    "max-ratio": "compressed ÷ float is proven below this",
    "min": "least value of the compressed model, on these samples",
    "max": "greatest value of the compressed model, on these samples",
    "reference-min": "the float model itself must reach this, on these samples",
    "reference-max": "the float model itself must not exceed this, on these samples",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "verdict",
        help="judge paired outcomes from a file",
        description="Judge the paired outcomes of a float and a compressed model, one line a sample, by the same code "
        "as the gate judges its own. Outcomes are right or wrong where both columns hold nothing but 0 and 1, and "
        "scores otherwise.",
        epilog="Exits 0 for PASS, 1 for FAIL, 10 for INVALID, 11 for INCONCLUSIVE, and 2 where the file cannot be "
        "read or is no table of outcomes, or bounds contradict each other or the outcomes.",
    )
    parser.add_argument(
        "--pairs",
        metavar="FILE",
        type=_file,
        required=True,
        help="a CSV file, or - for standard input: the columns `float` and `compressed`, or else the two that it has",
    )
    bounds = parser.add_argument_group("bounds, one or more")
    for name, text in BOUNDS.items():
        bounds.add_argument(f"--{name}", metavar="X", type=float, help=text)
    parser.add_argument(
        "--confidence", metavar="X", type=_confidence, default=0.95, help="of each one-sided bound; 0.95 by default"
    )
    parser.add_argument(
        "--better", choices=("higher", "lower"), help="which outcomes are better; what the bounds imply by default"
    )
    columns = parser.add_argument_group("columns, by name or by number from 1")
    for name, text in (
        ("float", "outcomes of the float model"),
        ("compressed", "outcomes of the compressed model"),
        ("target", "the right label, with --statistic"),
        ("unit", "sampling unit: samples of one unit (crops of a photo) are not independent; `unit` if there is one"),
        ("id", "what each sample is called; `id` if there is one, or else its line"),
    ):
        columns.add_argument(f"--{name}-column", metavar="NAME", help=text)
    parser.add_argument(
        "--statistic",
        choices=("f1", "precision", "recall"),
        help="judge this average over classes: the columns hold labels, beside the right ones in a column `target`",
    )
    parser.add_argument("--label", default="outcome", help="what the sentence calls the figure")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON, with all that changed by id")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict and exit by it."""
    from harness.gate.outcome import exit_status
    from harness.judge.outside import budget, verdict
    from harness.measurement import table

    given = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in BOUNDS}
    columns = table.Columns(
        arguments.float_column, arguments.compressed_column, arguments.unit_column, arguments.id_column,
        arguments.target_column,
    )  # fmt: skip
    found: Table | str
    try:
        metric = budget({name: limit for name, limit in given.items() if limit is not None}, arguments.better)
        found = table.read(arguments.pairs, columns, arguments.statistic)
    except (TableError, ValueError) as error:
        print(error, file=sys.stderr)
        return USAGE
    except DataError as error:
        found = str(error)
    measured = found if isinstance(found, str) else found.measured
    costs = not isinstance(measured, str) and measured.share and metric.better == "lower"
    # Of labels it is known which way is better, whatever is said of them.
    if costs and (arguments.better is None or arguments.statistic is not None):
        print(_backwards(arguments.statistic), file=sys.stderr)
        return USAGE
    row = verdict(metric, measured, arguments.confidence, arguments.label)
    changed: dict[str, list[str]] = {"lost": [], "won": []}
    if not isinstance(found, str):
        changed = found.changed(higher_is_better=metric.better == "higher")
    columns_taken = {} if isinstance(found, str) else found.columns
    _print(row, changed, columns_taken, as_json=arguments.json)
    return exit_status({row.verdict}, strict=False) or 0


def _file(text: str) -> Path:
    # A file of that name is still to be had, as `./-`.
    return STDIN if text == "-" else Path(text)


def _backwards(statistic: str | None) -> str:
    """Why bounds for costs are refused: as a rise of what is right, a loss would pass."""
    figure, way_out = f"{statistic} of labels is better when it is higher", ""
    if statistic is None:
        figure = "outcomes of 0 and 1 are wrong and right, of which more is better"
        way_out = ", or say --better lower where 1 is the worse one"
    why = f"{figure}, and these bounds are for what is better when it is lower"
    return f"{why}: bound --max-drop or --min-ratio{way_out}"


def _confidence(text: str) -> float:
    value = float(text)
    if not 0.5 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0.5 and 1, as in 0.95, and is {text}")
    return value


def _print(row: Verdict, changed: dict[str, list[str]], columns: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        # Through JSON, which has no infinity: a bound that the data did not set is null.
        document = json.loads(row.model_dump_json(exclude={"spec", "case"})) | changed | {"columns": columns}
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return
    print(row.sentence)
    for what, names in changed.items():
        if names:
            rest = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            print(f"{what}: {', '.join(names[:SHOWN])}{rest}")
    if columns:
        print(f"columns: {', '.join(f'{role} {name}' for role, name in columns.items())}")
