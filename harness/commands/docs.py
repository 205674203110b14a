"""`docs`: write the reference of the spec language into its page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.generated import write_or_compare

PAGE = Path("docs/spec-language.md")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "docs",
        help="write the reference of the spec language",
        description="Write the tables of methods, metrics, models, data and runtimes between the markers of a page.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, default=PAGE, help=f"the page; {PAGE} by default")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page is not up to date")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the tables, or say whether the page is up to date."""
    from harness.spec.reference import updated

    try:
        text = updated(arguments.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    return write_or_compare(arguments.file, text, check=arguments.check)
