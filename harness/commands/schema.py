"""`schema`: write the JSON Schema that editors complete and check specs with."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.generated import write_or_compare


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "schema", help="write the JSON Schema of specs", description="Write the JSON Schema of specs, for editors."
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="where to; the package's own copy by default"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is not up to date")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the schema, or say whether its file is up to date."""
    from harness.spec import json_schema

    return write_or_compare(arguments.file or json_schema.PATH, json_schema.text(), check=arguments.check)
