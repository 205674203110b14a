"""A machine-wide lock: compression and evaluation share it, latency takes it alone.

The kernel holds it (`flock`), so a holder that is killed lets go. Every process of this user on this machine takes
part: xdist workers and separate pytest runs alike. A waiting latency measurement keeps newcomers out (a second lock,
the gate, is held while waiting), so that it is not starved by a stream of evaluations.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without flock measures without the lock, and its load detection must do
    fcntl = None  # type: ignore[assignment]


LOCK = "WEIGHIN_LOCK"
# Job schedulers give each job a TMPDIR of its own: a lock that lay there would exclude nobody.
SHARED = Path("/tmp")


def lock_path() -> Path:
    """Where the lock file lies: one for each user of this machine. `WEIGHIN_LOCK` says otherwise."""
    given = os.environ.get(LOCK)
    if given:
        return Path(given).absolute()
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = SHARED if os.access(SHARED, os.W_OK) else Path(tempfile.gettempdir())
    return folder / f"weighin-{user}.lock"


@dataclass
class _Waits:
    """What this process has waited for the machine, in seconds; `since` while it does."""

    done: float = 0.0
    since: float | None = None


_waits = _Waits()


def waited() -> float:
    """Seconds that this process has waited for the machine, the wait that it is in included."""
    return _waits.done + (time.monotonic() - _waits.since if _waits.since is not None else 0.0)


@contextmanager
def machine(*, alone: bool, progress: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold the machine, shared or alone.

    Args:
        alone: nobody else may hold it at the same time.
        progress: told about once a second what is waited for.
    """
    if fcntl is None:
        yield
        return

    def waiting(seconds: float) -> None:
        text = f"the machine to itself, {seconds:.0f} s" if alone else "a latency measurement to end"
        progress(f"waiting for {text}")

    path = lock_path()
    started = _waits.since = time.monotonic()
    try:
        while True:
            with path.open("a") as lock, path.with_suffix(".gate").open("a") as gate:
                _take(gate.fileno(), fcntl.LOCK_EX, started, waiting)
                try:
                    _take(lock.fileno(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, started, waiting)
                finally:
                    fcntl.flock(gate, fcntl.LOCK_UN)
                # Whoever tidies up temporary files may have removed the one that was waited for: others hold a new one.
                if not _lies_at(lock.fileno(), path):
                    continue
                _waits.done, _waits.since = waited(), None
                try:
                    yield
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)
                return
    finally:
        if _waits.since is not None:
            _waits.done, _waits.since = waited(), None


@contextmanager
def hold_folder(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder waiting.

    The folder itself is locked, so nothing is left behind, and a process that is killed lets go.
    """
    descriptor = os.open(path, os.O_RDONLY) if fcntl is not None else None
    try:
        if descriptor is not None:
            # A file system that locks no folders is no reason to do nothing.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds a folder; True where that cannot be told."""
    if fcntl is None:
        return True
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lies_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that lies there now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _take(descriptor: int, operation: int, started: float, waiting: Callable[[float], None]) -> None:
    told = started
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now = time.monotonic()
            if now - told >= 1:
                told = now
                waiting(now - started)
            time.sleep(0.02)
