"""While a spec is at work: what it is doing, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

# Where lines cannot be rewritten (a CI log), only what takes long is worth one.
QUIET_S = 20.0


class Progress:
    """A live line on a terminal; on a plain log one line for each stage that takes long. Silent in an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        reporter = config.pluginmanager.getplugin("terminalreporter")
        self._reporter = None if hasattr(config, "workerinput") or config.option.verbose < 0 else reporter

    @contextmanager
    def on(self, name: str) -> Iterator[Callable[[str, float], None]]:
        """Show the progress of one case for the length of the block."""
        started, told = time.monotonic(), 0.0
        live = self._reporter is not None and self._reporter.isatty and self._reporter.hasmarkup

        def watch(doing: str, seconds: float) -> None:
            nonlocal told
            elapsed = time.monotonic() - started
            if self._reporter is None:
                return
            if live:
                width = self._reporter._tw.fullwidth - 1
                self._write(f"\r{f'{name}: {doing} ({elapsed:.0f} s)'[:width]:<{width}}")
            elif elapsed - told >= QUIET_S:
                told = elapsed
                self._write(f"\n{name}: {doing} ({elapsed:.0f} s)")

        try:
            yield watch
        finally:
            if live and self._reporter is not None:
                self._write(f"\r{'':<{self._reporter._tw.fullwidth - 1}}\r")

    def _write(self, text: str) -> None:
        assert self._reporter is not None
        if self._capture is None:
            self._reporter.write(text, flush=True)
            return
        with self._capture.global_and_fixture_disabled():
            self._reporter.write(text, flush=True)
