"""Where weighin keeps things between runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE, DATA = "WEIGHIN_CACHE", "WEIGHIN_DATA"


def cache_folder() -> Path:
    """The folder of artifacts and answers: `WEIGHIN_CACHE`, else weighin's in the user's cache folder."""
    return _named(CACHE) or _own()


def data_folder() -> Path:
    """The folder of downloads and conversions: `WEIGHIN_DATA`, else `data` in weighin's in the user's cache folder."""
    return _named(DATA) or _own() / "data"


def _named(variable: str) -> Path | None:
    """The folder that a variable names, seen from where this process runs; None where it names none."""
    given = os.environ.get(variable)
    return Path(given).absolute() if given else None


def _own() -> Path:
    return Path(platformdirs.user_cache_dir("weighin"))
