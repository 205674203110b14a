"""`results`: write the tables of pages of results, from reports of real runs and from what was accepted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.generated import write_or_compare

PAGE, METHODS_PAGE = Path("docs/results.md"), Path("docs/methods.md")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "results",
        help="write pages of results from reports and baselines",
        description="Write the tables between the markers of a page. <!-- results of TASK --> … <!-- end of results "
        "--> come from the reports that are given; where several hold a case, the last one that ran it counts. "
        "<!-- accepted of TASK --> and <!-- accepted with METHOD, METHOD --> … <!-- end of accepted --> come from the "
        "baselines of the specs here, the former for cases that the table of results has not; with them, reports may "
        "be left out.",
    )
    parser.add_argument("reports", metavar="REPORT", nargs="*", type=Path, help="report.json, or the folder it lies in")
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help=f"the page; {PAGE} and {METHODS_PAGE} by default"
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the pages; 2 where a file cannot be read or does not fit."""
    from harness.report import accepted
    from harness.report.document import Report
    from harness.report.results import filled

    pages = [arguments.page] if arguments.page else [PAGE, METHODS_PAGE]
    path = pages[0]
    written: dict[Path, str] = {}
    try:
        reports = []
        for path in arguments.reports:
            path = path / "report.json" if path.is_dir() else path
            reports.append(Report.model_validate_json(path.read_text(encoding="utf-8")))
        for path in pages:
            text = path.read_text(encoding="utf-8")
            if reports and path == pages[0]:
                text = filled(text, reports)
            if accepted.marked(text):
                text = accepted.filled(text, accepted.shipped(Path()))
            elif not reports:
                raise ValueError("no report was given, and the page has no table of what was accepted")
            written[path] = text
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    return max(write_or_compare(path, text, check=False) for path, text in written.items())
