"""Where parts that another distribution adds cannot be loaded: other tests run, and specs say why they do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import WeighinError
from harness.gate.discovery import wanted


class UnusableGate:
    """Stands in for the hooks of the gate."""

    def __init__(self, error: WeighinError) -> None:
        self._error = error

    def pytest_report_header(self) -> str:
        """Say so before anything is run."""
        return f"weighin cannot be used: {self._error}"

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect a spec as an error."""
        if not wanted(file_path, parent):
            return None
        return UnusableSpec.from_parent(parent, path=file_path, error=self._error)


class UnusableSpec(pytest.File):
    """A spec that nothing can be known of."""

    def __init__(self, *, error: WeighinError, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._error = error

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing.

        Raises:
            CollectError: always.
        """
        raise self.CollectError(str(self._error))
