"""The command line: `weighin` and `python -m harness`. Gating itself is pytest's: `pytest -m spec`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from harness import __version__
from harness.commands import audit, check, docs, prove, results, schema, verdict
from harness.errors import WeighinError

COMMANDS = (check, audit, verdict, prove, results, schema, docs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code.

    1 is an answer (a verdict, a mutant that survived, a loosening without a reason): what could not be asked or read
    is 2.
    """
    parser = argparse.ArgumentParser(
        prog="weighin", description="A release gate for compressed models. To run specs: pytest -m spec"
    )
    parser.add_argument("--version", action="version", version=f"weighin {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    for stream in (sys.stdout, sys.stderr):
        # An arrow that a terminal cannot show changes no verdict.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    chosen = parser.parse_args(arguments)
    try:
        code = int(chosen.run(chosen))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Nobody reads on, and nobody would read why; nor is Python to try once more when it ends.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 2
    except (WeighinError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
