"""What need not be done twice: artifacts and accuracy outcomes, addressed by everything that decides them.

An entry is a folder, written under a temporary name and renamed, so that a reader sees all of it or nothing and two
runs at once cannot harm each other. It is checked by hash when it is read and thrown away when it does not match.
Latency is never here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.folders import cache_folder
from harness.run.lock import hold_folder, is_held

DEFAULT_LIMIT_GB = 10.0
# What was staged so long ago was left by a run that was killed.
STALE_S = 7 * 86_400
SEAL = "seal.json"
# How the folders are called that `temporary` makes, and how long one is left alone that nobody holds.
TEMPORARY, YOUNG_S = "weighin-cache-", 3600


def default_folder() -> Path:
    """`WEIGHIN_CACHE`, else the user's cache directory."""
    return cache_folder()


def key_of(*parts: object) -> str:
    """The address of whatever these parts decide; each must be JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def sealed_digest(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file in a folder, the seal itself left out."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SEAL:
            with path.open("rb") as stream:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


class Cache:
    """A content-addressed folder of folders, with a size limit and eviction of what was used longest ago."""

    def __init__(self, folder: Path, limit_gb: float | None = None) -> None:
        self.folder = folder
        given = os.environ.get("WEIGHIN_CACHE_GB")
        self.limit = int(1e9 * (limit_gb if limit_gb is not None else float(given) if given else DEFAULT_LIMIT_GB))

    def get(self, key: str) -> Path | None:
        """The entry's folder, or None where there is none (any more): a damaged entry is removed."""
        entry = self.folder / "entries" / key
        if not entry.exists():
            return None
        try:
            sound = json.loads((entry / SEAL).read_text()) == sealed_digest(entry)
        except (OSError, ValueError):
            sound = False
        if not sound:
            shutil.rmtree(entry, ignore_errors=True)
            return None
        # A reader in another process may be evicting it at this moment; that costs a recomputation at worst.
        with contextlib.suppress(OSError):
            os.utime(entry)
        return entry

    @contextmanager
    def put(self, key: str, beside: Collection[str] = ()) -> Iterator[Path]:
        """A folder to fill; it becomes the entry when the block ends well, and vanishes when it does not.

        Args:
            key: of the entry.
            beside: entries that are needed with it: the size limit takes others.
        """
        staging = self.folder / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        _sweep(staging)
        folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=staging))
        try:
            yield folder
            sealed = sealed_digest(folder)
            if not sealed:
                raise OSError(f"nothing was written to {folder}")
            (folder / SEAL).write_text(json.dumps(sealed))
            entry = self.folder / "entries" / key
            entry.parent.mkdir(exist_ok=True)
            # Where another run was quicker its entry stands, and this one is dropped.
            with contextlib.suppress(OSError):
                folder.rename(entry)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._evict(keep={key, *beside})

    def _evict(self, keep: Collection[str]) -> None:
        entries: list[tuple[float, int, Path]] = []
        for entry in (self.folder / "entries").iterdir():
            with contextlib.suppress(OSError):
                size = sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())
                entries.append((entry.stat().st_mtime, size, entry))
        total = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries):
            if total <= self.limit:
                return
            if entry.name not in keep:
                shutil.rmtree(entry, ignore_errors=True)
                total -= size


@contextmanager
def temporary() -> Iterator[Path]:
    """The folder of a cache that lasts no longer than a run; what killed runs have left of theirs is cleared away."""
    for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            # A younger one may not be held yet by the run that has just made it.
            if time.time() - left.stat().st_mtime > YOUNG_S and not is_held(left):
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    try:
        with hold_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(staging: Path) -> None:
    """Remove what killed runs left half-written."""
    for folder in staging.iterdir():
        # Another run may be sweeping too.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > STALE_S:
                shutil.rmtree(folder)
