"""A project's files at a git revision and in the working tree. Objects are read; nothing is ever checked out."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Protocol

from harness.errors import WeighinError

# In the message of a commit that removes a spec or a baseline: where the file is gone, no key of it can say why.
TRAILER = "Budget-Reason"
_REASON = re.compile(rf"^{TRAILER}:[ \t]*(\S.*)$", re.MULTILINE)


class AuditError(WeighinError):
    """There is nothing to compare with: no repository, no such revision, or a file that cannot be read."""


class Side(Protocol):
    """One of the two states that are compared. Paths are relative to the project root, with forward slashes."""

    def files(self) -> dict[str, str]:
        """Every file below `specs/` and `baselines/`, with git's name for its content."""

    def read(self, path: str) -> bytes | None:
        """The content of a file, there or elsewhere in the repository; None where there is none."""


class Worktree:
    """What lies in the project now, committed or not."""

    def __init__(self, root: Path, algorithm: str) -> None:
        self.root = root
        self._algorithm = algorithm
        self._files: dict[str, str] | None = None

    def files(self) -> dict[str, str]:
        """See `Side`. Looked up once."""
        if self._files is None:
            self._files = self._listed()
        return self._files

    def _listed(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in ("specs", "baselines"):
            for parent, _, names in os.walk(self.root / folder, followlinks=True):
                for name in names:
                    path = Path(parent, name)
                    content = self.read(below := path.relative_to(self.root).as_posix())
                    if content is not None:
                        found[below] = self._named(content)
        return found

    def read(self, path: str) -> bytes | None:
        """See `Side`."""
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return None

    def _named(self, content: bytes) -> str:
        return hashlib.new(self._algorithm, b"blob %d\0" % len(content) + content).hexdigest()


class Revision:
    """What lay in the project at a commit.

    Args:
        root: the project root.
        name: a commit, in any way that git knows.

    Raises:
        AuditError: the root lies in no repository, or the name is no commit of it.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        inside = self._git("rev-parse", "--show-prefix")
        if inside.returncode:
            raise AuditError(f"{root} lies in no git repository that can be read: {_words(inside)}")
        self._prefix = inside.stdout.decode().strip()
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode:
            raise AuditError(
                f"{name!r} is no commit of this repository; name a branch, a tag or a commit, and fetch it first where "
                "the clone is shallow"
            )
        self.commit = found.stdout.decode().strip()
        self._files = self._listed()
        self._objects = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Revision:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._objects.communicate()

    @property
    def algorithm(self) -> str:
        """How this repository names content."""
        return "sha256" if len(self.commit) == 64 else "sha1"

    def files(self) -> dict[str, str]:
        """See `Side`."""
        return self._files

    def read(self, path: str) -> bytes | None:
        """See `Side`."""
        if path in self._files:
            return self._object(self._files[path])
        whole = posixpath.normpath(posixpath.join(self._prefix, path))
        return None if whole.startswith("../") or "\n" in whole else self._object(f"{self.commit}:{whole}")

    def removal(self, path: str) -> str | None:
        """Why a file is gone, in the words of the latest commit since then that touched it and gives a reason."""
        log = self._git("log", "--format=%B%x00", f"{self.commit}..HEAD", "--", path)
        for message in log.stdout.decode(errors="replace").split("\0"):
            reasons = _REASON.findall(message)
            if reasons:
                return "; ".join(reason.strip() for reason in reasons)
        return None

    def _listed(self) -> dict[str, str]:
        listed = self._git("ls-tree", "-r", "-z", self.commit, "--", "specs", "baselines")
        if listed.returncode:
            raise AuditError(f"the files of {self.commit} cannot be listed: {_words(listed)}")
        found: dict[str, str] = {}
        for line in listed.stdout.decode(errors="surrogateescape").split("\0"):
            about, _, path = line.partition("\t")
            mode, kind, content = (*about.split(), "", "", "")[:3]
            # Links and submodules hold no spec of their own.
            if kind == "blob" and mode != "120000":
                found[path] = content
        return found

    def _object(self, name: str) -> bytes | None:
        stdin, stdout = self._objects.stdin, self._objects.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(name.encode(errors="surrogateescape") + b"\n")
        stdin.flush()
        head = stdout.readline().rstrip(b"\n").rsplit(b" ", 2)
        if len(head) < 3 or not head[2].isdigit():
            return None
        content = stdout.read(int(head[2]))
        stdout.read(1)
        return content if head[1] == b"blob" else None

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["git", *arguments], cwd=self._root, capture_output=True, check=False)
        except OSError as error:
            raise AuditError(f"git cannot be run: {error}") from error


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip().partition("\n")[0].removeprefix("fatal: ")
