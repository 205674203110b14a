"""`audit`: what got looser since a revision."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harness.commands.destination import writable
from harness.errors import SpecError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "audit",
        help="list what got looser since a git revision",
        description="List every budget and baseline that got looser since a git revision, with old and new value and "
        "the reason that is recorded. Exits 1 where a reason is missing, and 2 where there is nothing to compare with, "
        "something cannot be read (now, or from the revision without a reason why), or FILE cannot be written.",
    )
    parser.add_argument("revision", metavar="REV", help="a commit, a branch or a tag, for example origin/main")
    parser.add_argument(
        "--project",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="the directory that holds specs/; this one by default",
    )
    parser.add_argument("--json", metavar="FILE", type=writable, help="write what was found there too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what loosened, one line each; the exit code."""
    from harness.audit.compare import audit
    from harness.audit.revision import AuditError

    root = arguments.project.resolve()
    if not (root / "specs").is_dir() and not (root / "baselines").is_dir():
        print(f"{arguments.project} holds neither specs/ nor baselines/", file=sys.stderr)
        return 2
    try:
        found = audit(root, arguments.revision)
    except (AuditError, SpecError) as error:
        print(error, file=sys.stderr)
        return 2
    told = [(str(one), one.reason) for one in found.loosened] + [(str(one), one.reason) for one in found.unread]
    for text, reason in told:
        print(f"{text}\n    {reason or 'NO REASON IS RECORDED'}")
    missing, total, uncompared = len(found.unexplained), len(found.loosened), len(found.uncompared)
    if arguments.json is not None:
        document = {
            "version": 1,
            "revision": arguments.revision,
            "commit": found.commit,
            "loosened": [one.document() for one in found.loosened],
            "unexplained": missing,
            "unread": list(dict.fromkeys(one.path for one in found.unread)),
            "uncompared": uncompared,
        }
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    since = f"since {arguments.revision} ({found.commit[:12]})"
    if total:
        print(f"{total} looser {since}, {missing or 'none'} without a reason")
    else:
        print(f"nothing{' that could be compared' if found.unread else ''} is looser {since}")
    if missing:
        print(
            "say why: `because:` in the budget, or in the spec; --reason when a baseline is accepted; where a file is "
            "gone, `Budget-Reason: …` in the message of the commit that removed it",
            file=sys.stderr,
        )
    if uncompared:
        print(
            f"{uncompared} could not be compared: keep it in this repository, or check out the submodule with the "
            "commit that it had; or say why it may be so: `because:` in the spec, or where a link or a stem changes, "
            "`Budget-Reason: …` in the message of the commit",
            file=sys.stderr,
        )
    return 1 if missing else 2 if uncompared else 0
