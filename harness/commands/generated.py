"""Files that commands write from the code, and that a check holds to it."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_compare(path: Path, text: str, *, check: bool) -> int:
    """Write a generated file, or compare it with what it should hold; the exit code."""
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{path} is not up to date: run the command without --check", file=sys.stderr)
    return 1
