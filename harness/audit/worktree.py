"""What lies in a project now; and what the audit asks of either state that it compares."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Protocol

from harness.spec.files import reached

FOLDERS = ("specs", "baselines")


def missed(path: str) -> bool:
    """Whether something may be missed where nothing can be read: a run looks there, or the comparison of baselines.

    Args:
        path: from the project root, with forward slashes.
    """
    place = PurePosixPath(path)
    if place.parts[0] == "baselines":
        return place.suffix in ("", ".json")
    return reached(place)


class Side(Protocol):
    """One of the two states that are compared. Paths are relative to the project root, with forward slashes."""

    def files(self) -> dict[str, str]:
        """Every file below `specs/` and `baselines/`, links followed, with git's name for its content."""

    def home(self, path: str) -> str:
        """The path with every link in it followed; as it is where that leads nowhere."""

    def read(self, path: str) -> bytes | None:
        """The content of a file, there or elsewhere in the repository; None where there is none."""


class Worktree:
    """What lies in the project now, committed or not.

    Args:
        root: the project root.
        algorithm: by which git names content: ``sha1`` or ``sha256``.
    """

    def __init__(self, root: Path, algorithm: str) -> None:
        self.root = root.resolve()
        self._algorithm = algorithm
        self._files: dict[str, str] | None = None

    def files(self) -> dict[str, str]:
        """See `Side`. Looked up once."""
        if self._files is None:
            self._files = self._listed()
        return self._files

    def _listed(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in FOLDERS:
            for parent, _, names in os.walk(self.root / folder, followlinks=True):
                for name in names:
                    path = Path(parent, name)
                    content = self.read(below := path.relative_to(self.root).as_posix())
                    if content is not None:
                        found[below] = self._named(content)
        return found

    def home(self, path: str) -> str:
        """See `Side`."""
        try:
            return Path(os.path.relpath((self.root / path).resolve(), self.root)).as_posix()
        except (OSError, RuntimeError, ValueError):
            return path

    def read(self, path: str) -> bytes | None:
        """See `Side`."""
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return None

    def _named(self, content: bytes) -> str:
        return hashlib.new(self._algorithm, b"blob %d\0" % len(content) + content).hexdigest()
