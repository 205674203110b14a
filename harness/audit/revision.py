"""A project's files at a git revision. Objects are read; nothing is ever checked out."""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path, PurePosixPath
from types import TracebackType

from harness.audit.objects import Objects, entries, run, tree
from harness.audit.tree import Tree
from harness.audit.worktree import FOLDERS, missed
from harness.errors import WeighinError

# In the message of a commit that removes a spec or a baseline: where the file is gone, no key of it can say why.
TRAILER = "Budget-Reason"
_REASON = re.compile(rf"^{TRAILER}:[ \t]*(\S.*)$", re.MULTILINE)
_LINK = "120000"


class AuditError(WeighinError):
    """There is nothing to compare with: no repository, no such revision, or a file that cannot be read."""


class Revision:
    """What lay in the project at a commit, in its submodules too where they are checked out and have their commits.

    Args:
        root: the project root.
        name: a commit, in any way that git knows.

    Attributes:
        unread: below `specs/` and `baselines/`, what a run or a comparison would have looked behind and the commit does
            not hold: links to nothing, and submodules. Path → what it is, in words.

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
        listed = tree(root, self.commit)
        if listed.returncode:
            raise AuditError(f"the files of {self.commit} cannot be listed: {_words(listed)}")
        # Of the repository, and then of each submodule below a path; one that lies in another comes after it.
        self._objects: list[tuple[str, Objects]] = [("", Objects(root))]
        self._absent: list[str] = []
        self._tree = self._grown(listed.stdout)
        self._files: dict[str, str] = {}
        self.unread: dict[str, str] = {}
        self._look()

    def __enter__(self) -> Revision:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, objects in self._objects:
            objects.close()

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
        if found is None or name is None:
            return None
        return next(objects for below, objects in reversed(self._objects) if found.startswith(below)).read(name)

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

    def _grown(self, listed: bytes) -> Tree:
        """The files and links of the commit, those of its submodules among them."""
        files: dict[str, str] = {}
        links: dict[str, str] = {}
        ahead = [("", self._objects[0][1], listed)]
        while ahead:
            below, objects, text = ahead.pop()
            for mode, kind, name, path in entries(text):
                if kind == "commit":
                    ahead += self._submodule(below + path, name)
                elif mode == _LINK:
                    links[below + path] = (objects.read(name) or b"").decode(errors="surrogateescape")
                else:
                    files[below + path] = name
        return Tree(files, links)

    def _submodule(self, path: str, commit: str) -> list[tuple[str, Objects, bytes]]:
        """A submodule of the commit, to be looked into; nothing where it is not here, or has not that commit."""
        root = self._root.resolve()
        folder = [root, *root.parents][len(PurePosixPath(self._prefix).parts)] / path
        listed = tree(folder, commit, submodule=True) if folder.is_dir() else None
        if listed is None or listed.returncode:
            self._absent.append(path)
            return []
        objects = Objects(folder, submodule=True)
        self._objects.append((f"{path}/", objects))
        return [(f"{path}/", objects, listed.stdout)]

    def _look(self) -> None:
        """Look through the folders of the project."""
        for shown, home in (each for folder in FOLDERS for each in self._tree.below(self._prefix + folder)):
            path = shown.removeprefix(self._prefix)
            if home is not None:
                self._files[path] = self._tree.files[home]
            elif missed(path):
                self.unread[path] = "was a link to nothing that the commit holds"
        for absent in self._absent:
            path = absent.removeprefix(self._prefix)
            if absent.startswith(self._prefix) and missed(path):
                self.unread[path] = "was a submodule that is not here, or not with the commit that it had"

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return run(self._root, *arguments)
        except OSError as error:
            raise AuditError(f"git cannot be run: {error}") from error


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip().partition("\n")[0].removeprefix("fatal: ")
