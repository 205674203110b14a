"""`check`: validate specs without running them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import Problem, SpecError

# The first line by which an editor finds the schema.
_SCHEMA = re.compile(r"#\s*yaml-language-server:\s*\$schema=(\S+)")
# Of the files that do not gate, so many are named.
MOST_NAMED = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "check",
        help="validate specs without running them",
        description="Validate specs without running them. Exits 0 where all are well-formed, 1 where one is not, or a "
        "link leads nowhere behind which a run looks for specs, and 2 where a path holds no spec. Warns of expected "
        "failures whose day is over, and of files where no run looks for specs.",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        type=Path,
        default=[Path("specs")],
        help="specs, and folders of specs, of which what a run collects is checked (stems, _*.yaml, and must-fail/ "
        "only where they are named); specs/ where none is given",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load every spec below the paths and print what is wrong, one problem a line."""
    from harness.spec.files import below, home_of, lost_below, nothing_below, nowhere, root_of, twin_of, with_case
    from harness.spec.load import load

    files: dict[Path, Path] = {}
    passed_over: dict[Path, list[Path]] = {}
    lost: dict[Path, Path] = {}
    for path in arguments.paths:
        found, hidden = below(path)
        links = lost_below(path)
        passed_over |= hidden
        if not found and not links:
            _warn_of(passed_over)
            print(nothing_below(path), file=sys.stderr)
            return 2
        for one in found:
            files.setdefault(one.resolve(), one)
        for one in links:
            lost.setdefault(home_of(one), one)
    _warn_of(passed_over)
    owners: dict[tuple[Path, str], Path] = {}
    cases = budgets = 0
    broken = len(lost)
    for path in lost.values():
        print(f"{path}:1:1: {nowhere(path).problems[0].message}")
    dangling: list[str] = []
    today = datetime.now(UTC).date()
    for home, path in files.items():
        try:
            spec = load(path)
        except SpecError as error:
            broken += 1
            for problem in error.problems:
                print(_here(problem, root_of(path)))
            continue
        owner = owners.setdefault((spec.root, spec.id), home)
        other = twin_of(home) or owner
        if other != home:
            broken += 1
            shown = files.get(other.resolve()) or os.path.relpath(other)
            print(f"{path}:1:1: shares its id, {spec.id}, and so its baseline with {shown}")
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
        print(f"{_count(broken, 'spec')} of {len(files) + len(lost)} not well-formed", file=sys.stderr)
        return 1
    print(f"{_count(len(files), 'spec')}, {_count(cases, 'case')}, {_count(budgets, 'budget')}: all well-formed")
    return 0


def _warn_of(passed_over: Mapping[Path, Sequence[Path]]) -> None:
    """Say where files lie that look like specs and do not gate."""
    for folder, some in passed_over.items():
        names = [one.relative_to(folder).as_posix() for one in some]
        more = f" and {_count(len(names) - MOST_NAMED, 'other')}" if len(names) > MOST_NAMED else ""
        print(
            f"{folder}: warning: pytest does not look into this folder, so no run gates {', '.join(names[:MOST_NAMED])}"
            f"{more} unless told to: move it to another one",
            file=sys.stderr,
        )


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
