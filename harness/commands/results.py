"""`results`: write the tables of a results page from reports of real runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.generated import write_or_compare

PAGE = Path("docs/results.md")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "results",
        help="write a results page from reports",
        description="Write one table a task between the markers of a page: <!-- results of TASK --> and <!-- end of "
        "results -->. Figures come from report.json alone; where several reports hold a case, the last one counts.",
    )
    parser.add_argument("reports", metavar="REPORT", nargs="+", type=Path, help="report.json, or the folder it lies in")
    parser.add_argument("--page", metavar="FILE", type=Path, default=PAGE, help=f"the page; {PAGE} by default")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page; 2 where a file cannot be read or does not fit."""
    from harness.report.document import Report
    from harness.report.results import filled

    path = arguments.page
    try:
        reports = []
        for path in arguments.reports:
            path = path / "report.json" if path.is_dir() else path
            reports.append(Report.model_validate_json(path.read_text(encoding="utf-8")))
        path = arguments.page
        text = filled(path.read_text(encoding="utf-8"), reports)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    return write_or_compare(arguments.page, text, check=False)
