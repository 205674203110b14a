"""Fixtures for driving the plugin from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import Project


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: what one compressed, another need not."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(tmp_path: Path, cache: Path) -> Project:
    """An empty project."""
    return Project(tmp_path / "project", cache)
