"""What a git repository keeps: the tree of a commit, and contents by git's names for them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

# By these git says, where it runs a hook, which repository is meant; a submodule is another one.
_MEANT = (
    "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE",
)  # fmt: skip


class Entry(NamedTuple):
    """One line of a tree.

    Attributes:
        mode: of the file, as git writes it.
        kind: ``blob``, or ``commit`` of a submodule.
        name: git's for the content, or for the commit.
        path: from the repository's root.
    """

    mode: str
    kind: str
    name: str
    path: str


def run(folder: Path, *arguments: str, submodule: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder.

    Args:
        folder: of the repository, or in it.
        arguments: the command.
        submodule: whether the folder belongs to another repository than this process may have been started for.
    """
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=_environment(submodule), capture_output=True, check=False)


def tree(folder: Path, commit: str, *, submodule: bool = False) -> subprocess.CompletedProcess[bytes]:
    """List every file, link and submodule of a commit; see `entries`."""
    return run(folder, "ls-tree", "-r", "-z", "--full-tree", commit, submodule=submodule)


def entries(listed: bytes) -> list[Entry]:
    """What a listing says, line by line."""
    found = []
    for line in listed.decode(errors="surrogateescape").split("\0"):
        about, _, path = line.partition("\t")
        if len(parts := about.split()) == 3:
            mode, kind, name = parts
            found.append(Entry(mode, kind, name, path))
    return found


class Objects:
    """The contents of one repository, read by one process of git's.

    Args:
        folder: of the repository, or in it.
        submodule: see `run`.
    """

    def __init__(self, folder: Path, *, submodule: bool = False) -> None:
        self._process = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=folder, env=_environment(submodule), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def read(self, name: str) -> bytes | None:
        """The content of that name; None where there is none."""
        stdin, stdout = self._process.stdin, self._process.stdout
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

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _environment(submodule: bool) -> dict[str, str] | None:
    return {name: value for name, value in os.environ.items() if name not in _MEANT} if submodule else None
