"""`check`: validate specs without running them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import Problem, SpecError

# The first line by which an editor finds the schema.
_SCHEMA = re.compile(r"#\s*yaml-language-server:\s*\$schema=(\S+)")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "check",
        help="validate specs without running them",
        description="Validate specs without running them. Exits 0 where all are well-formed, 1 where one is not, and 2 "
        "where a path holds no spec. Warns of expected failures whose day is over.",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        type=Path,
        default=[Path("specs")],
        help="specs, and folders of specs (whose stems, _*.yaml, and must-fail/ are left unless they are named); "
        "specs/ where none is given",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load every spec below the paths and print what is wrong, one problem a line."""
    from harness.spec.files import root_of, with_case
    from harness.spec.load import load

    files: dict[Path, None] = {}
    for path in arguments.paths:
        found = list(specs_below(path))
        if not found:
            there = "holds no spec" if path.exists() else "does not exist"
            print(f"{path} {there}", file=sys.stderr)
            return 2
        files.update(dict.fromkeys(found))
    owners: dict[tuple[Path, str], Path] = {}
    cases = budgets = broken = 0
    dangling: list[str] = []
    today = datetime.now(UTC).date()
    for path in files:
        try:
            spec = load(path)
        except SpecError as error:
            broken += 1
            for problem in error.problems:
                print(_here(problem, root_of(path)))
            continue
        other = owners.setdefault((spec.root, spec.id), path)
        if other != path:
            broken += 1
            print(f"{path}:1:1: shares its id, {spec.id}, and so its baseline with {other}")
        for case in spec.cases:
            for entry in case.spec.expect_fail:
                if entry.expired(today):
                    item = with_case(entry.metric, case.name)
                    text = f"the expect_fail of {item}, for which {entry.owner} answers, ran out on {entry.until}"
                    print(f"{os.path.relpath(path)}: warning: {text}: renew it or remove it", file=sys.stderr)
        dangling += _dangling(path)
        cases += len(spec.cases)
        budgets += sum(len(case.spec.budgets) for case in spec.cases)
    for note in dangling:
        print(note, file=sys.stderr)
    if broken:
        print(f"{_count(broken, 'spec')} of {len(files)} not well-formed", file=sys.stderr)
        return 1
    print(f"{_count(len(files), 'spec')}, {_count(cases, 'case')}, {_count(budgets, 'budget')}: all well-formed")
    return 0


def specs_below(path: Path) -> Iterator[Path]:
    """A spec file itself, or every spec below a folder but stems and what must fail."""
    from harness.spec.files import MUST_FAIL, SUFFIXES

    if path.is_file():
        yield path
    for below in sorted(path.rglob("*")):
        parts = below.relative_to(path).parts
        left = MUST_FAIL in parts or any(part.startswith(".") for part in parts)
        if below.suffix in SUFFIXES and not below.name.startswith("_") and not left and below.is_file():
            yield below


def _dangling(path: Path) -> list[str]:
    """A note where a spec names an editor schema that is not there, as one copied from another project does."""
    from harness.spec.files import root_of

    first = path.read_text(encoding="utf-8").partition("\n")[0]
    found = _SCHEMA.match(first)
    if found is None or "://" in found[1] or (path.parent / found[1]).is_file():
        return []
    return [
        f"{path}:1: note: no editor schema at {found[1]}; `weighin schema specs/weighin.schema.json` writes one, which "
        f"is {os.path.relpath(root_of(path) / 'specs' / 'weighin.schema.json', path.parent)} from here"
    ]


def _here(problem: Problem, root: Path) -> Problem:
    """The problem with its file as seen from the working directory, so that a terminal can follow it."""
    path = os.path.relpath(root / problem.file)
    return problem if path.startswith("..") else replace(problem, file=path)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
