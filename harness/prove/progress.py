"""While mutants are tried: a live line on a terminal, and on a plain log a line for each mutant."""

from __future__ import annotations

import shutil
import sys
from typing import TextIO


class Live:
    """Says what is being tried. `begin` names it; `watch` is what a pipeline calls meanwhile."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._name = ""

    def begin(self, name: str) -> None:
        """From now on this is at work."""
        self._name = name
        if not self._live:
            print(name, file=self._stream, flush=True)

    def watch(self, doing: str, seconds: float) -> None:
        """Show what is being done, and for how long."""
        if self._live:
            spent = f" ({seconds:.0f} s)"
            width = shutil.get_terminal_size().columns - 1
            line = f"{self._name}: {doing}"[: width - len(spent)] + spent
            self._stream.write(f"\r{line:<{width}}")
            self._stream.flush()

    def clear(self) -> None:
        """Make room for a line that stays."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
