"""A project's files at a git revision. Objects are read; nothing is ever checked out."""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path
from types import TracebackType

from harness.audit.tree import Tree
from harness.audit.worktree import FOLDERS
from harness.errors import WeighinError

# In the message of a commit that removes a spec or a baseline: where the file is gone, no key of it can say why.
TRAILER = "Budget-Reason"
_REASON = re.compile(rf"^{TRAILER}:[ \t]*(\S.*)$", re.MULTILINE)
_LINK = "120000"


class AuditError(WeighinError):
    """There is nothing to compare with: no repository, no such revision, or a file that cannot be read."""


class Revision:
    """What lay in the project at a commit.

    Args:
        root: the project root.
        name: a commit, in any way that git knows.

    Attributes:
        unread: links below `specs/` and `baselines/` that led to nothing in the commit; nothing is compared with them.

    Raises:
        AuditError: the root lies in no repository, or the name is no commit of it.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        inside = self._git("rev-parse", "--show-prefix")
        if inside.returncode:
            raise AuditError(f"{root} lies in no git repository that can be read: {_words(inside)}")
        self._prefix = inside.stdout.decode(errors="surrogateescape").removesuffix("\n")
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode:
            raise AuditError(
                f"{name!r} is no commit of this repository; name a branch, a tag or a commit, and fetch it first where "
                "the clone is shallow"
            )
        self.commit = found.stdout.decode().strip()
        listed = self._listed()
        self._objects = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._tree = self._grown(listed)
        self._files: dict[str, str] = {}
        self.unread: list[str] = []
        for shown, home in (each for folder in FOLDERS for each in self._tree.below(self._prefix + folder)):
            path = shown.removeprefix(self._prefix)
            if home is None:
                self.unread.append(path)
            else:
                self._files[path] = self._tree.files[home]

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

    def home(self, path: str) -> str:
        """See `Side`."""
        found = self._at(path)
        return path if found is None else posixpath.relpath(f"/{found}", f"/{self._prefix}")

    def read(self, path: str) -> bytes | None:
        """See `Side`."""
        found = self._at(path)
        name = None if found is None else self._tree.files.get(found)
        return None if name is None else self._object(name)

    def _at(self, path: str) -> str | None:
        """A path from the repository's root, with no link in it; None where it leads out of there."""
        return None if path.startswith("/") else self._tree.home(self._prefix + path)

    def removal(self, *paths: str) -> str | None:
        """Why files are gone, in the words of the latest commit since then that touched one and gives a reason."""
        log = self._git("log", "--format=%B%x00", f"{self.commit}..HEAD", "--", *paths)
        for message in log.stdout.decode(errors="replace").split("\0"):
            reasons = _REASON.findall(message)
            if reasons:
                return "; ".join(reason.strip() for reason in reasons)
        return None

    def _listed(self) -> list[tuple[str, str, str]]:
        """Mode, name and path, from the repository's root, of every file and link of the commit."""
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", self.commit)
        if listed.returncode:
            raise AuditError(f"the files of {self.commit} cannot be listed: {_words(listed)}")
        found: list[tuple[str, str, str]] = []
        for line in listed.stdout.decode(errors="surrogateescape").split("\0"):
            about, _, path = line.partition("\t")
            mode, kind, name = (*about.split(), "", "", "")[:3]
            # A submodule holds no spec of this project.
            if kind == "blob":
                found.append((mode, name, path))
        return found

    def _grown(self, listed: list[tuple[str, str, str]]) -> Tree:
        texts = {path: self._object(name) or b"" for mode, name, path in listed if mode == _LINK}
        return Tree(
            {path: name for mode, name, path in listed if mode != _LINK},
            {path: text.decode(errors="surrogateescape") for path, text in texts.items()},
        )

    def _object(self, name: str) -> bytes | None:
        stdin, stdout = self._objects.stdin, self._objects.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(name.encode() + b"\n")
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
