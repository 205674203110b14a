"""While a spec is at work: what it is doing, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pytest

# Where lines cannot be rewritten (a CI log), only what takes long is worth one.
QUIET_S = 20.0

Write = Callable[[str], None]


class Progress:
    """A live line on a terminal; on a plain log one line for each stage that takes long. Silent in an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        reporter = config.pluginmanager.getplugin("terminalreporter")
        self._reporter = None if hasattr(config, "workerinput") or config.option.verbose < 0 else reporter

    @contextmanager
    def on(self, name: str) -> Iterator[Callable[[str, float], None]]:
        """Show the progress of one case for the length of the block."""
        reporter, started = self._reporter, time.monotonic()
        if reporter is None:
            yield lambda doing, seconds: None
            return
        view = (_Live if reporter.isatty and reporter.hasmarkup else _Log)(reporter, self._write)

        def watch(doing: str, seconds: float) -> None:
            view.tell(f"{name}: {doing}", time.monotonic() - started)

        try:
            yield watch
        finally:
            view.close()

    def _write(self, text: str) -> None:
        """Write past pytest's own account of what stands on the current line."""
        assert self._reporter is not None
        stream = self._reporter._tw._file
        with self._capture.global_and_fixture_disabled() if self._capture is not None else nullcontext():
            stream.write(text)
            stream.flush()


class _View(Protocol):
    def __init__(self, reporter: pytest.TerminalReporter, write: Write) -> None: ...

    def tell(self, text: str, elapsed: float) -> None: ...

    def close(self) -> None: ...


class _Live(_View):
    """A line of its own below the one that pytest is at, rewritten in place; gone without a trace when the case is."""

    def __init__(self, reporter: pytest.TerminalReporter, write: Write) -> None:
        self._terminal, self._write, self._shown = reporter._tw, write, ""

    def tell(self, text: str, elapsed: float) -> None:
        # However long the name is, the seconds are seen to run.
        spent, width = f" ({elapsed:.0f} s)", self._terminal.fullwidth - 1
        line = f"{text[: width - len(spent)] + spent:<{width}}"
        if line != self._shown:
            self._write(f"{'' if self._shown else chr(10)}\r{line}")
            self._shown = line

    def close(self) -> None:
        if self._shown:
            column = self._terminal.width_of_current_line
            # Wipe the line, then back up to where pytest stopped writing.
            self._write("\r\x1b[K\x1b[A" + (f"\x1b[{column}C" if column else ""))


class _Log(_View):
    """A line now and then; pytest begins its own line anew after it."""

    def __init__(self, reporter: pytest.TerminalReporter, write: Write) -> None:
        self._reporter, self._write, self._told = reporter, write, 0.0

    def tell(self, text: str, elapsed: float) -> None:
        if elapsed - self._told >= QUIET_S:
            self._write(f"\n{text} ({elapsed:.0f} s)")
            self._told = elapsed

    def close(self) -> None:
        if self._told:
            self._reporter.currentfspath = None
