"""`schema`: write the JSON Schema that editors complete and check specs with, or that of `report.json`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.generated import write_or_compare


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "schema",
        help="write the JSON Schema of specs, or of report.json",
        description="Write the JSON Schema of specs, for editors. In a project of your own: `weighin schema "
        "specs/weighin.schema.json`, and `# yaml-language-server: $schema=weighin.schema.json` as the first line of "
        "the specs beside it (`../weighin.schema.json` one folder further down). With --report, the JSON Schema of "
        "report.json, for programs that read reports.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="where to; left out, it is printed, and in a checkout of weighin written to the package's own copy",
    )
    parser.add_argument("--report", action="store_true", help="the schema of report.json in place of that of specs")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is not up to date")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the schema, or say whether its file is up to date."""
    if arguments.report:
        from harness.report.json_schema import PATH, text
    else:
        from harness.spec.json_schema import PATH, text

    if arguments.file is None and not arguments.check and not _checkout(PATH):
        # What is installed is not to be written to.
        sys.stdout.write(text())
        return 0
    return write_or_compare(arguments.file or PATH, text(), check=arguments.check)


def _checkout(copy: Path) -> bool:
    """Whether the package lies in its repository, and not where pip put it."""
    return (copy.parents[2] / "pyproject.toml").is_file()
