"""The HTML page."""

from __future__ import annotations

from pathlib import Path

from harness.report.document import Report


def write(report: Report, folder: Path) -> Path | None:
    """Placeholder until the page is in."""
    return None
