"""The file that a command was asked to write: looked at before the work that it is to hold."""

from __future__ import annotations

import argparse
from pathlib import Path


def writable(text: str) -> Path:
    """The argument of an option that names a file to write; what can be written has its folder made.

    Raises:
        argparse.ArgumentTypeError: nothing can be written there; the sentence says what is in the way.
    """
    from harness.gate.destinations import hindrance

    path = Path(text)
    try:
        if not (why := hindrance(path, file=True)):
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = str(error)
    if why:
        raise argparse.ArgumentTypeError(f"{path}: {why}")
    return path
